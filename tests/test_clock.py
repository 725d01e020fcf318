"""The clock: it runs with the machine, or stands and moves as it is told, and tells whoever
waits.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fake_server.clock import Clock, Wait


class Machine:
    """The machine's two clocks, moved by hand."""

    def __init__(self, wall: float = 1000.0, ticks: float = 10.0) -> None:
        self.wall = wall
        self.ticks = ticks

    def passes(self, seconds: float) -> None:
        self.wall += seconds
        self.ticks += seconds

    def clock(self) -> Clock:
        return Clock(lambda: self.wall, lambda: self.ticks)


def shown(clock: Clock) -> tuple[float, float]:
    return clock.now(), clock.ticks()


def test_it_runs_with_the_machine() -> None:
    """Unless told otherwise it shows what the machine shows."""
    machine = Machine()
    clock = machine.clock()
    machine.passes(5)
    assert shown(clock) == (1005, 15)
    assert not clock.frozen


def test_a_correction_of_the_wall_clock_hurries_nobody() -> None:
    """Waiting is counted by the monotonic side."""
    machine = Machine()
    clock = machine.clock()
    machine.wall -= 500
    assert shown(clock) == (500, 10)


def test_a_frozen_clock_stands_still() -> None:
    """Both sides, at this moment or at a given one."""
    machine = Machine()
    clock = machine.clock()
    clock.freeze()
    machine.passes(5)
    assert shown(clock) == (1000, 10)
    clock.freeze(77.0)
    assert shown(clock) == (77, 10)
    assert clock.frozen


def test_a_frozen_clock_is_moved_by_hand() -> None:
    """Advancing moves both sides, setting the wall side alone."""
    clock = Machine().clock()
    clock.freeze()
    clock.advance(300)
    assert shown(clock) == (1300, 310)
    clock.set(5)
    assert shown(clock) == (5, 310)


def test_a_running_clock_is_moved_and_runs_on() -> None:
    """Advancing and setting shift what the machine shows."""
    machine = Machine()
    clock = machine.clock()
    clock.advance(300)
    machine.passes(1)
    assert shown(clock) == (1301, 311)
    clock.set(2000)
    machine.passes(1)
    assert shown(clock) == (2001, 312)


def test_a_frozen_clock_runs_on_from_where_it_stands() -> None:
    """Time that passed while it stood still is not made up for."""
    machine = Machine()
    clock = machine.clock()
    clock.freeze(5000)
    machine.passes(60)
    clock.resume()
    assert shown(clock) == (5000, 10)
    machine.passes(1)
    assert shown(clock) == (5001, 11)
    assert not clock.frozen


def test_resuming_a_running_clock_changes_nothing() -> None:
    """It is no error and shifts nothing."""
    machine = Machine()
    clock = machine.clock()
    clock.advance(5)
    clock.resume()
    assert shown(clock) == (1005, 15)


def test_time_does_not_go_back() -> None:
    """A negative advance is refused and moves nothing."""
    clock = Machine().clock()
    clock.freeze()
    with pytest.raises(ValueError, match="0 seconds or more, not by -1"):
        clock.advance(-1)
    assert shown(clock) == (1000, 10)


MOVES = st.one_of(
    st.tuples(st.just("passes"), st.floats(0, 1e4)),
    st.tuples(st.just("advance"), st.floats(0, 1e4)),
    st.tuples(st.just("set"), st.floats(0, 2e9)),
    st.tuples(st.just("freeze"), st.none() | st.floats(0, 2e9)),
    st.tuples(st.just("resume"), st.none()),
)


@given(st.lists(MOVES))
def test_whatever_is_done_to_it_ticks_never_go_back(moves: list[tuple[str, float | None]]) -> None:
    """Nothing that waits is ever due later than it was; wall time follows what was said last."""
    machine = Machine()
    clock = machine.clock()
    for move, value in moves:
        before = clock.ticks()
        if move == "passes":
            machine.passes(value or 0)
        elif move == "resume":
            clock.resume()
        else:
            getattr(clock, move)(value)
        assert clock.ticks() >= before - 1e-6
        if move == "set" or (move == "freeze" and value is not None):
            assert clock.now() == pytest.approx(value)


class Woken(Wait):
    """A wait that calls ``on_wake`` when it is woken."""

    def __init__(self, clock: Clock, on_wake: Callable[[], object]) -> None:
        super().__init__(clock)
        self.wake = on_wake  # type: ignore[method-assign, assignment]


@pytest.mark.parametrize("move", ["freeze", "advance", "resume"])
def test_waits_are_woken_at_each_move(move: str) -> None:
    """Once a move, until it is removed; removing it twice is no error."""
    clock = Machine().clock()
    calls: list[float] = []
    wait = Woken(clock, lambda: calls.append(clock.ticks()))
    clock.freeze()
    clock.add_wait(wait)
    {"freeze": clock.freeze, "advance": lambda: clock.advance(5), "resume": clock.resume}[move]()
    assert calls == [15 if move == "advance" else 10]
    clock.remove_wait(wait)
    clock.remove_wait(wait)
    clock.advance(1)
    assert len(calls) == 1


def test_a_wait_may_be_removed_while_it_is_woken() -> None:
    """That disturbs no other wait."""
    clock = Machine().clock()
    calls: list[str] = []

    def leave() -> None:
        clock.remove_wait(first)
        calls.append("first")

    first = Woken(clock, leave)
    clock.add_wait(first)
    clock.add_wait(Woken(clock, lambda: calls.append("second")))
    clock.advance(1)
    assert sorted(calls) == ["first", "second"]
