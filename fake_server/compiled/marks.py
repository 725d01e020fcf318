"""Marked values: texts and numbers that can be found again in what a run has made of them."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable
from typing import Any, NamedTuple

from fake_server.runs.random_values import RandomValues

BEGIN, END = "\x02", "\x03"
"""They stand around the number of a marked value."""

MARK = re.compile(rf"{BEGIN}(\d+)[^{END}]*{END}")
"""A mark with the number of its slot."""


class NotCompilableError(Exception):
    """A run that forms cannot express; says why."""


class Draw(NamedTuple):
    """A random value, from a method of ``RandomValues`` with its arguments."""

    slot: int
    method: Callable[..., Any]
    arguments: tuple[Any, ...]


class Step(NamedTuple):
    """A number that is made of those in two other slots."""

    slot: int
    function: Callable[[Any, Any], Any]
    left: int
    right: int


class Tape:
    """How the values of a run come about. Every value has a slot, in which later runs have theirs.

    ``padding`` is added to each marked text. Runs whose marks differ in length, and whose numbers
    differ, show what depends on a value otherwise than by holding it.
    """

    def __init__(self, padding: str) -> None:
        self.padding = padding
        self.slots = 0
        self.draws: list[Draw] = []
        self.steps: list[Step] = []
        self.constants: dict[int, Any] = {}
        self._made: dict[tuple[Any, ...], int] = {}
        """Which slots have what has been made, or stands fixed, before."""

    def new_slot(self) -> int:
        self.slots += 1
        return self.slots - 1

    def text(self) -> str:
        """A marked text."""
        return f"{BEGIN}{self.new_slot()}{self.padding}{END}"

    def number(self, value: float, slot: int | None = None) -> Any:
        """A marked number, whole or not as ``value`` is."""
        kind: Any = MarkedInteger if isinstance(value, int) else MarkedFloat
        marked = kind(value)
        marked.tape, marked.slot = self, self.new_slot() if slot is None else slot
        return marked

    def made(self, function: Callable[[Any, Any], Any], left: Any, right: Any) -> Any:
        """The number that ``function`` makes of two, of which at least one is marked."""
        key = (function, self.slot_of(left), self.slot_of(right))
        marked = self.number(function(_plain(left), _plain(right)), self._made.get(key))
        if key not in self._made:
            self._made[key] = marked.slot
            self.steps.append(Step(marked.slot, *key))
        return marked

    def slot_of(self, value: Any) -> int:
        """The slot of a marked value, or of any other that stays the same."""
        if isinstance(value, Marked):
            return value.slot
        if isinstance(value, str):
            found = MARK.fullmatch(value)
            if found is None:
                raise NotCompilableError(f"{value!r} was made of a marked text")
            return int(found[1])
        key = type(value), value
        if key not in self._made:
            slot = self._made[key] = self.new_slot()
            self.constants[slot] = value
        return self._made[key]


class Marked:
    """A number that remembers how it was made. What is not defined here makes plain numbers, which
    differ between runs.
    """

    tape: Tape
    slot: int

    def __add__(self, other: Any) -> Any:
        return self.tape.made(operator.add, self, other)

    def __radd__(self, other: Any) -> Any:
        return self.tape.made(operator.add, other, self)

    def __sub__(self, other: Any) -> Any:
        return self.tape.made(operator.sub, self, other)

    def __rsub__(self, other: Any) -> Any:
        return self.tape.made(operator.sub, other, self)

    def __mul__(self, other: Any) -> Any:
        return self.tape.made(operator.mul, self, other)

    def __rmul__(self, other: Any) -> Any:
        return self.tape.made(operator.mul, other, self)

    def __truediv__(self, other: Any) -> Any:
        return self.tape.made(operator.truediv, self, other)

    def __round__(self, digits: int | None = None) -> Any:
        if digits is None:
            return self.tape.made(whole, self, 0)
        return self.tape.made(round, self, digits)

    def __floor__(self) -> Any:
        return self.tape.made(floored, self, 0)


class MarkedFloat(Marked, float):  # type: ignore[misc]  # numbers that are rounded stay marked
    """A marked number of the kind of durations."""


class MarkedInteger(Marked, int):  # type: ignore[misc]
    """A marked number of the kind of tokens."""


def _plain(number: Any) -> Any:
    match number:
        case MarkedFloat():
            return float(number)
        case MarkedInteger():
            return int(number)
    return number


def whole(number: float, _: int) -> int:
    return round(number)


def floored(number: float, _: int) -> int:
    return math.floor(number)


class MarkedRandom(RandomValues):
    """Draws marked values. A run that draws others cannot be compiled."""

    def __init__(self, tape: Tape, seed: int) -> None:
        super().__init__(seed)
        self._tape = tape
        self._numbers = RandomValues(seed)

    def uuid(self) -> str:
        return self._text(RandomValues.uuid)

    def nonce(self) -> str:
        return self._text(RandomValues.nonce)

    def vary(self, value: float, spread: float) -> float:
        drawn = self._numbers.vary(value, spread)
        return self._number(drawn, RandomValues.vary, value, spread)  # type: ignore[no-any-return]

    def getrandbits(self, k: int, /) -> int:
        drawn = self._numbers.getrandbits(k)
        return self._number(drawn, RandomValues.getrandbits, k)  # type: ignore[no-any-return]

    def random(self) -> float:
        raise NotCompilableError("it draws more than ids, durations and seeds")

    def choice(self, seq: Any) -> Any:
        raise NotCompilableError("it draws more than ids, durations and seeds")

    def _text(self, method: Callable[..., str]) -> str:
        mark = self._tape.text()
        self._tape.draws.append(Draw(self._tape.slot_of(mark), method, ()))
        return mark

    def _number(self, drawn: float, method: Callable[..., Any], *arguments: Any) -> Any:
        marked = self._tape.number(drawn)
        self._tape.draws.append(Draw(marked.slot, method, arguments))
        return marked
