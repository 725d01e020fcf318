"""Sends what hypothesis makes to the server, checks each response, and keeps the smallest request
of each mistake.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable

from tests.fuzz.checker import Checker, Problem
from tests.fuzz.message import Dialogue, parse
from tests.serving import Connection, RawAnswer, RunningServer

_RESPONSE_S = 10.0
_MINIMISE_S = 15.0


@dataclass(frozen=True, slots=True)
class Example:
    """A dialogue to hold. ``at_once`` sends all of it before reading; ``also`` checks each response
    besides the checker.
    """

    dialogue: Dialogue
    at_once: bool = False
    also: Callable[[RawAnswer], Iterator[Problem]] = lambda response: iter(())


@dataclass(frozen=True, slots=True)
class Finding:
    """Something the server must not do, with the smallest dialogue found that makes it do so."""

    kind: str
    problems: tuple[Problem, ...]
    example: Example

    def __str__(self) -> str:
        text = "\n".join(f"  {problem}" for problem in self.problems)
        if not self.example.dialogue:
            return f"{self.kind}:\n{text}"
        how = "sent at once" if self.example.at_once else "one after the other"
        raws = "\n".join(f"    {_literal(raw)}," for raw in self.example.dialogue)
        return f"{self.kind}:\n{text}\n  requests on one connection, {how}:\n{raws}"


def _literal(raw: bytes) -> str:
    """The literal of ``raw``; a run of one byte as a product."""
    runs = re.split(rb"((?s:(.)\2{99,}))", raw)
    parts = [repr(part) for part in runs[::3]]
    for index, (run, byte) in enumerate(zip(runs[1::3], runs[2::3], strict=True)):
        parts[index] += f" + {byte!r} * {len(run)} + "
    return "".join(parts)


class _WrongError(Exception):
    """Tells hypothesis that this example is one of what is being looked for."""


class _EnoughError(BaseException):
    """Ends hypothesis: it has minimised long enough. Not an ``Exception``, or it would be taken for
    a failure.
    """


@dataclass(slots=True)
class Session:
    """One run of the fuzzer against one server."""

    server: RunningServer
    checker: Checker
    on_request: Callable[[int], None] = lambda sent: None
    sent: Counter[str] = field(default_factory=Counter)
    statuses: Counter[tuple[str, int]] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)
    _known: set[tuple[str, str]] = field(default_factory=set)

    def fuzz(
        self, kind: str, examples: st.SearchStrategy[Example], requests: int, seed_: int
    ) -> None:
        """Send at least ``requests`` requests of ``examples``; each kind of mistake is reported
        once.
        """
        goal = self.sent[kind] + requests
        while self.sent[kind] < goal:
            before = self.sent[kind]
            hunt = _Hunt(self, kind, goal)
            _explore(hunt, examples, goal - before, seed_)
            if hunt.smallest is not None:
                self.report(hunt.smallest)
            elif self.sent[kind] == before:
                return  # the strategy has nothing new to give
            seed_ += 1

    def try_all(self, kind: str, examples: Sequence[Example]) -> None:
        """Send ``examples`` as they are."""
        for example in examples:
            problems = self.wrong(kind, example)
            if problems:
                self.report(Finding(kind, tuple(problems), example))

    def report(self, finding: Finding) -> None:
        self.findings.append(finding)
        self._known |= {(finding.kind, problem.rule) for problem in finding.problems}

    def wrong(self, kind: str, example: Example) -> list[Problem]:
        """Send ``example`` and return what is wrong with its answers, what is reported already left
        out.
        """
        found = [
            problem
            for problem in self._held(kind, example)
            if (kind, problem.rule) not in self._known
        ]
        return list(dict.fromkeys(found))

    def _held(self, kind: str, example: Example) -> Iterator[Problem]:
        left = list(example.dialogue)
        while left:
            with Connection(self.server.host, self.server.port, _RESPONSE_S) as connection:
                if example.at_once:
                    connection.send(b"".join(left))
                while left:
                    raw = left.pop(0)
                    response = _response(connection, raw, example.at_once)
                    self._count(kind, response)
                    if isinstance(response, Problem):
                        yield response
                        return
                    yield from self.checker.problems(parse(raw), response)
                    yield from example.also(response)
                    if response.header("connection") == "close":
                        break
            if example.at_once:
                return  # what was sent after a request that closes the connection is lost

    def _count(self, kind: str, response: RawAnswer | Problem) -> None:
        self.sent[kind] += 1
        if isinstance(response, RawAnswer):
            self.statuses[kind, response.status] += 1
        self.on_request(self.sent.total())


def _response(connection: Connection, raw: bytes, sent: bool) -> RawAnswer | Problem:
    """The response to ``raw``, or why there is none."""
    try:
        bodiless = raw.startswith(b"HEAD ")
        return connection.answer(bodiless) if sent else connection.exchange(raw)
    except TimeoutError:
        return Problem("hang", f"nothing came for {_RESPONSE_S:g} s")
    except (EOFError, OSError) as error:
        return Problem("no response", f"the connection broke: {error!r}")
    except (ValueError, IndexError, AssertionError) as error:
        return Problem("no HTTP", f"the response cannot be read: {error!r}")


@dataclass(slots=True)
class _Hunt:
    """One call of hypothesis: everything after its first failure is minimising."""

    session: Session
    kind: str
    goal: int
    smallest: Finding | None = None
    _until: float = 0.0

    def __call__(self, example: Example) -> None:
        if self._is_over():
            raise _EnoughError
        problems = self.session.wrong(self.kind, example)
        if not problems:
            return
        if self.smallest is None:
            self._until = time.monotonic() + _MINIMISE_S
        if self.smallest is None or _size(example) <= _size(self.smallest.example):
            self.smallest = Finding(self.kind, tuple(problems), example)
        raise _WrongError(problems[0].rule)

    def _is_over(self) -> bool:
        if self.smallest is None:
            return self.session.sent[self.kind] >= self.goal
        return time.monotonic() > self._until


def _size(example: Example) -> int:
    return sum(map(len, example.dialogue))


def _explore(hunt: _Hunt, examples: st.SearchStrategy[Example], number: int, seed_: int) -> None:
    @seed(seed_)
    @settings(
        max_examples=number,
        database=None,
        deadline=None,
        print_blob=False,
        report_multiple_bugs=False,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    @given(examples)
    def explore(example: Example) -> None:
        hunt(example)

    with contextlib.suppress(_EnoughError, _WrongError, Unsatisfiable):
        explore()
