"""Playing a timeline: frames come exactly when they are due, and whatever ends a run ends the
waiting.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Message

from fake_server.clock import EARLY_S, Clock
from fake_server.host_spec import PingRule
from fake_server.runs.engine import with_pings
from fake_server.runs.events import (
    STOPPED,
    Event,
    NodeFinished,
    NodeStarted,
    Ping,
    Timeline,
    WorkflowFinished,
    WorkflowStarted,
)
from fake_server.runs.playback import STOP_POLL_S, Pace, Playback, Stretch

NODE = NodeStarted("x", "n", "tool", "N", 1, None, {}, 1.5, step=1)
DONE = NodeFinished(NODE, 12.25, "succeeded", None, None, None, {"text": ""}, None)
END = WorkflowFinished("succeeded", {"text": ""}, None, 12.5, 0, 1)
TIMELINE: Timeline = with_pings(
    ((0.0, WorkflowStarted({})), (1.5, NODE), (12.25, DONE), (12.5, END)),
    PingRule(b"", 10.25, 10.0),
)
OFFSETS = [0.0, 1.5, 10.25, 12.25, 12.5]


class Player:
    """A run being played on a clock that stands still until it is moved, to a client that the test
    plays.
    """

    def __init__(self, speed: float | None = 1.0, timeline: Timeline = TIMELINE) -> None:
        self.clock = Clock(lambda: 1000.0, lambda: 64.0)
        self.clock.freeze()
        self.playback = Playback(timeline, self.clock, speed)
        self.emitted: list[list[Event]] = []
        self.left = asyncio.Event()
        self._task = asyncio.create_task(self._listen())

    async def _receive(self) -> Message:
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def _listen(self) -> None:
        async for events in self.playback.events(self._receive):
            self.emitted.append(events)

    @property
    def over(self) -> bool:
        return self._task.done()

    async def settle(self) -> None:
        """Let everything that can go on go on."""
        for _ in range(10):
            await asyncio.sleep(0)

    async def move_to(self, wall_s: float) -> None:
        """Move the clock to ``wall_s`` seconds after the run's start."""
        self.clock.advance(max(0.0, 64.0 + wall_s - self.clock.ticks()))
        await self.settle()

    async def close(self) -> None:
        self.left.set()
        await self._task


def play(
    script: Callable[[Player], Awaitable[None]],
    speed: float | None = 1.0,
    timeline: Timeline = TIMELINE,
) -> None:
    """Run ``script`` with a player that is closed at its end."""

    async def main() -> None:
        player = Player(speed, timeline)
        await player.settle()
        await script(player)
        await player.close()

    asyncio.run(main())


@pytest.mark.parametrize("speed", [0.5, 1.0, 8.0])
def test_each_frame_comes_alone_and_exactly_when_it_is_due(speed: float) -> None:
    """Not a moment before its offset divided by the speed, and then at once."""

    async def script(player: Player) -> None:
        for number, (offset_s, event) in enumerate(TIMELINE):
            due_s = offset_s / speed
            await player.move_to(due_s - 2**-20)
            assert len(player.emitted) == (number if offset_s else 1)
            await player.move_to(due_s)
            assert player.emitted[number:] == [[event]]
        assert player.over

    assert [offset_s for offset_s, _ in TIMELINE] == OFFSETS
    play(script, speed)


def test_a_clock_that_jumps_releases_everything_that_is_due() -> None:
    """Several frames may fall due at once; each is still its own."""

    async def script(player: Player) -> None:
        await player.move_to(11)
        assert player.emitted == [[event] for offset_s, event in TIMELINE if offset_s <= 11]
        assert not player.over
        await player.move_to(5000)
        assert player.emitted == [[event] for _, event in TIMELINE]
        assert player.over

    play(script)


@given(st.lists(st.floats(0, 15), max_size=8))
def test_however_the_clock_is_moved_what_is_due_is_emitted(times: list[float]) -> None:
    """No sequence of moves tells a frame early, late, twice or out of order."""

    async def script(player: Player) -> None:
        for at_s in sorted(times):
            await player.move_to(at_s)
            assert player.emitted == [
                [event] for offset_s, event in TIMELINE if offset_s <= player.clock.ticks() - 64.0
            ]

    play(script)


def test_setting_the_wall_clock_releases_nothing() -> None:
    """Only the monotonic side counts for waiting."""

    async def script(player: Player) -> None:
        player.clock.set(10**9)
        player.clock.freeze(10**9)
        await player.settle()
        assert len(player.emitted) == 1

    play(script)


def test_instant_needs_no_clock() -> None:
    """Everything is told together, at once, even while the clock stands still."""

    async def script(player: Player) -> None:
        assert player.emitted == [[event for _, event in TIMELINE]]
        assert player.over

    play(script, None)


def test_a_running_clock_releases_frames_by_itself() -> None:
    """In real time, a thousand times as fast: no frame before its moment, but for what an event
    loop does not count, and all of them in the end.
    """

    async def main() -> None:
        playback = Playback(TIMELINE, Clock(), 1000.0)
        began = time.monotonic()
        emitted = []
        never = asyncio.get_running_loop().create_future()

        async def receive() -> Message:
            await asyncio.shield(never)
            raise AssertionError

        async for (event,) in playback.events(receive):
            emitted.append((time.monotonic() - began, event))
        assert [event for _, event in emitted] == [event for _, event in TIMELINE]
        assert all(
            at_s >= offset_s / 1000 - EARLY_S
            for (at_s, _), (offset_s, _) in zip(emitted, TIMELINE, strict=True)
        )

    asyncio.run(main())


# The client
# --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("received", range(1, len(TIMELINE)))
def test_a_client_that_leaves_ends_it(received: int) -> None:
    """Wherever the run is, nothing more is told and nothing waits any longer."""

    async def script(player: Player) -> None:
        await player.move_to(OFFSETS[received - 1])
        player.left.set()
        await player.settle()
        assert player.over
        await player.move_to(5000)
        assert len(player.emitted) == received

    play(script)


def test_what_a_client_still_sends_is_not_its_leaving() -> None:
    """More of a body is read and ignored."""

    async def main() -> None:
        clock = Clock(lambda: 0.0, lambda: 0.0)
        clock.freeze()
        playback = Playback(TIMELINE, clock, 1.0)
        messages = iter(
            [{"type": "http.request"}, {"type": "http.request"}, {"type": "http.disconnect"}]
        )

        async def receive() -> Message:
            return next(messages)

        assert await playback.end(receive) is None
        assert next(messages, None) is None

    asyncio.run(main())


def test_a_blocking_call_gets_the_end_when_it_is_due() -> None:
    """And nobody gets it who has left."""

    async def main(leaves: bool) -> Event | None:
        clock = Clock(lambda: 0.0, lambda: 0.0)
        clock.freeze()
        playback = Playback(TIMELINE, clock, 1.0)
        left = asyncio.Event()

        async def receive() -> Message:
            await left.wait()
            return {"type": "http.disconnect"}

        task = asyncio.create_task(playback.end(receive))
        clock.advance(12)
        for _ in range(10):
            await asyncio.sleep(0)
        assert not task.done()
        left.set() if leaves else clock.advance(0.5)
        return await task

    assert asyncio.run(main(leaves=False)) == END
    assert asyncio.run(main(leaves=True)) is None


# Stopping
# --------------------------------------------------------------------------------------------------


@given(stop_at_s=st.floats(0, 12.49))
def test_a_stop_takes_effect_at_the_hosts_next_look(stop_at_s: float) -> None:
    """FACTS 7: within a second, at a whole second of the run; a run that ends before that ends as
    it would have.
    """

    async def script(player: Player) -> None:
        await player.move_to(stop_at_s)
        before = len(player.emitted)
        player.playback.stop()
        await player.settle()
        assert len(player.emitted) == before
        await player.move_to(stop_at_s + STOP_POLL_S)
        assert player.over
        (end,) = player.emitted[-1]
        assert isinstance(end, WorkflowFinished)
        if end != END:
            assert (end.status, end.error, end.outputs) == ("stopped", STOPPED, None)
            assert stop_at_s < end.elapsed_s <= stop_at_s + STOP_POLL_S
            assert end.elapsed_s == pytest.approx(math.floor(end.elapsed_s))
            assert end.total_steps == sum(
                isinstance(event, NodeStarted) for (event,) in player.emitted
            )
        else:
            assert math.floor(stop_at_s + 1) >= 12.5

    play(script)


def test_frames_due_before_the_stop_are_still_emitted() -> None:
    """Between the stop and the host's next look the run goes on."""

    async def script(player: Player) -> None:
        await player.move_to(1.25)
        player.playback.stop()
        await player.move_to(1.5)
        assert player.emitted[-1] == [NODE]
        await player.move_to(2.0)
        assert isinstance(player.emitted[-1][0], WorkflowFinished)
        assert not any(isinstance(event, NodeFinished | Ping) for (event,) in player.emitted)

    play(script)


def test_a_second_stop_changes_nothing() -> None:
    """The first one counts."""

    async def script(player: Player) -> None:
        await player.move_to(3.25)
        player.playback.stop()
        await player.move_to(3.75)
        player.playback.stop()
        await player.move_to(4.0)
        (end,) = player.emitted[-1]
        assert isinstance(end, WorkflowFinished)
        assert (end.status, end.elapsed_s) == ("stopped", 4.0)
        player.playback.stop()
        await player.settle()

    play(script)


def test_a_stop_at_another_speed_is_within_a_second_on_the_wall() -> None:
    """A slower run is not kept going for longer than a client would wait on the host."""

    async def script(player: Player) -> None:
        await player.move_to(5.0)
        player.playback.stop()
        await player.move_to(5.0 + STOP_POLL_S)
        assert player.over

    play(script, 0.25)


def test_an_instant_run_is_over_before_it_can_be_stopped() -> None:
    """There is no moment in which it runs."""

    async def script(player: Player) -> None:
        player.playback.stop()
        assert player.emitted == [[event for _, event in TIMELINE]]

    play(script, None)


# The server goes down
# -----------------------------------------------------------------------------------------------


def test_a_server_that_goes_down_lets_go_of_its_clients() -> None:
    """At once, with no end told, and for good."""

    async def script(player: Player) -> None:
        await player.move_to(2)
        player.playback.abandon()
        await player.settle()
        assert player.over
        assert len(player.emitted) == 2

    play(script)


@pytest.mark.parametrize("speed", [1.0, None])
def test_a_run_that_begins_when_the_server_goes_down_tells_nothing(speed: float | None) -> None:
    """Neither as a stream nor in one piece."""

    async def main() -> None:
        playback = Playback(TIMELINE, Clock(), speed)
        playback.abandon()

        async def receive() -> Message:
            raise AssertionError("nobody is waited for")

        assert [events async for events in playback.events(receive)] == []
        assert await playback.end(receive) is None

    asyncio.run(main())


@pytest.mark.parametrize("how", ["leaves", "ends", "is abandoned"])
def test_nothing_is_left_on_the_clock(how: str) -> None:
    """However a run ends, the clock has forgotten it."""

    async def script(player: Player) -> None:
        assert player.clock.waiting
        if how == "leaves":
            player.left.set()
        elif how == "is abandoned":
            player.playback.abandon()
        else:
            await player.move_to(5000)
        await player.settle()
        assert not player.clock.waiting

    play(script)


def test_the_clock_may_be_moved_from_another_thread() -> None:
    """A test that serves the app in a thread of its own moves the clock from where it stands."""

    async def script(player: Player) -> None:
        await asyncio.to_thread(player.clock.advance, 5000)
        await asyncio.sleep(0.01)
        assert player.over

    play(script)


# Nodes that take their time at any speed
# ----------------------------------------------------------------------------

STRETCHES = (Stretch(2.0, 5.0, 1.5), Stretch(6.0, 6.0, 2.0), Stretch(8.0, 9.0, 0.0))


def test_an_instant_run_waits_for_its_stretches_alone() -> None:
    pace = Pace(None, STRETCHES)
    assert [pace.clock_s(at_s) for at_s in (0.0, 2.0, 3.0, 5.0, 5.9, 6.0, 8.5, 12.0)] == [
        0.0, 0.0, 0.5, 1.5, 1.5, 3.5, 3.5, 3.5,
    ]  # fmt: skip
    assert [pace.timeline_s(clock_s, 12.0) for clock_s in (0.0, 0.5, 1.5, 3.4, 3.5)] == [
        2.0,
        3.0,
        6.0,
        6.0,
        12.0,
    ]


@given(st.floats(0.01, 1e4), st.floats(0, 12))
def test_stretches_take_the_same_at_any_speed(speed: float, at_s: float) -> None:
    """Besides them the run is as fast as its speed says, and where it is can be told from the
    clock.
    """
    pace, usual = Pace(speed, STRETCHES), Pace(speed)
    stretched_s = Pace(None, STRETCHES).clock_s(at_s)
    outside_s = at_s - max(0.0, min(at_s, 5.0) - 2.0) - max(0.0, min(at_s, 9.0) - 8.0)
    assert pace.clock_s(at_s) == pytest.approx(stretched_s + usual.clock_s(outside_s), abs=1e-9)
    if not 8.0 <= at_s <= 9.0:
        assert pace.timeline_s(pace.clock_s(at_s), 12.0) == pytest.approx(at_s, abs=1e-6)
