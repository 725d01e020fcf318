"""A whole run of the fuzzer: its own server, every kind of request in its share, the log and the
memory afterwards.
"""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dify_wire.profile import overlay_paths
from dify_wire.spec import load
from dify_wire.text_file import bundled
from tests.fuzz.checker import Checker, Deployment, Problem
from tests.fuzz.message import render
from tests.fuzz.schema_cases import examples
from tests.fuzz.session import Example, Finding, Session
from tests.fuzz.strategies import FAR_FUTURE, HOST, KINDS, RUN, World, large, signed
from tests.fuzz.watch import Log, Memory, log_of
from tests.serving import ROOT, ServerProcess, server_process

REQUESTS = 10_000
SEED = 20240424

SECRET_KEY = "sk-secret-key-of-the-fuzzer"
DEFAULT_KEY = "app-FuzzerDefaultKey00000000"
HOST_VERSION = "0.6.4"
_KINDS_OF_APP = ("chat", "unpublished", "disabled", "deleted")

_WARM_UP = 2_000
_GROWTH_KB = 15 * 1024
_IDLE_REQUESTS = 1_000
_IDLE_GROWTH_KB = 1024
"""A leak shows where nothing is kept on purpose. The growth over all requests has the store in it:
a run keeps an image's record (under 2 kB) and, with a seed, a digest (200 bytes), so the 3,000 or
so runs behind the warm-up may cost some 6 MB, and allocators round up; the store itself ends at
100,000 image. So there are two bounds: 15 MB over all requests behind the warm-up, and 1 MB over
1,000 requests that keep nothing (refusals, and one image again and again), where a leak of 1 kB a
request would show."""


@dataclass(frozen=True, slots=True)
class Report:
    """What happened, as text for a person."""

    session: Session
    memory: Memory
    log: Log
    seconds: float
    seed: int
    idle_growth: int | None

    @property
    def findings(self) -> list[Finding]:
        return self.session.findings

    def __str__(self) -> str:
        return "\n".join([*self._table(), *self._outcomes(), *self._memory(), *self._found()])

    def _table(self) -> Iterator[str]:
        yield f"{self.session.sent.total()} requests in {self.seconds:.0f} s, seed {self.seed}"
        for kind, number in self.session.sent.items():
            statuses = sorted(
                (status, times)
                for (of, status), times in self.session.statuses.items()
                if of == kind
            )
            got = ", ".join(f"{status}: {times}" for status, times in statuses)
            yield f"  {kind:<22}{number:>6}   {got}"

    def _outcomes(self) -> Iterator[str]:
        yield "answers by what the host does with the request:"
        outcomes = sorted(self.session.checker.outcomes.items())
        yield from (f"  {name:<44}{times:>6}" for name, times in outcomes)

    def _memory(self) -> Iterator[str]:
        first, last = self.memory.samples[0][1], self.memory.samples[-1][1]
        yield f"log: {self.log.lines} lines"
        warm = f"{_mb(self.memory.at(_WARM_UP))} after {_WARM_UP}"
        yield f"memory: {_mb(first)} at first, {warm}, {_mb(last)} at the end"
        if self.idle_growth is not None:
            what = f"{_IDLE_REQUESTS} requests that keep nothing"
            yield f"        {_mb(self.idle_growth)} more over {what}"

    def _found(self) -> Iterator[str]:
        yield f"{len(self.findings)} findings"
        yield from (f"\n{index}. {finding}" for index, finding in enumerate(self.findings, 1))


def run(
    requests: int,
    seed: int,
    only: Sequence[str] = (),
    report_line: Callable[[str], None] = lambda line: None,
) -> Report:
    """Fuzz a server with about ``requests`` requests, all decided by ``seed``; of the kinds in
    ``only``, if any.
    """
    began = time.monotonic()
    with fuzzed_server(seed) as (server, keys):
        document = merged_document()
        memory, log = Memory(server.pid), log_of(server)
        session = Session(server, checker_of(document, keys), memory.on_request)
        memory.sample(0)
        world = world_of(session, document, keys)
        for kind in fuzz(session, world, document, requests=requests, seed=seed, only=only):
            report_line(
                f"{session.sent.total():>6} requests, {len(session.findings)} findings, {kind} done"
            )
        memory.sample(session.sent.total())
        whole = requests >= REQUESTS and not only
        idle_growth = _settled(session, world, memory) if whole else None
        if whole:
            _check_memory(session, memory, idle_growth or 0)
        check_log(session, log)
    return Report(session, memory, log, time.monotonic() - began, seed, idle_growth)


def merged_document() -> dict[str, Any]:
    return load(bundled("openapi.yaml"), overlay_paths(HOST_VERSION))


@contextlib.contextmanager
def fuzzed_server(seed: int) -> Iterator[tuple[ServerProcess, Mapping[str, tuple[str, str]]]]:
    """A server with every kind of app, and by name of the app (its key, its kind)."""
    apps = {name: (f"app-Fuzzer-{name}", name) for name in _KINDS_OF_APP}
    for path in sorted((ROOT / "recordings" / "apps").glob("*.yml")):
        apps[path.stem] = (f"app-Fuzzer-{path.stem}", str(path))
    flags = [flag for key, what in apps.values() for flag in ("--app", f"{key}={what}")]
    with server_process(
        *("--speed", "instant", "--seed", str(seed), "--log-format", "json"),
        *("--api-key", DEFAULT_KEY, "--secret-key", SECRET_KEY, *flags),
    ) as server:
        yield server, {"default": (DEFAULT_KEY, "workflow"), **apps}


def checker_of(document: Mapping[str, Any], keys: Mapping[str, tuple[str, str]]) -> Checker:
    return Checker(document, Deployment(dict(keys.values()), SECRET_KEY, time.time()))


def world_of(
    session: Session, document: Mapping[str, Any], keys: Mapping[str, tuple[str, str]]
) -> World:
    """What the strategies may use. Makes the image first: with the server's seed their ids are
    always the same.
    """
    authorization = (b"Authorization", b"Bearer " + DEFAULT_KEY.encode())
    for prompt in (b"one", b"two", b"three"):
        body = (
            b'{"inputs": {"prompt": "%b"}, "response_mode": "blocking", "user": "fuzzer"}' % prompt
        )
        raw = render(
            b"POST", RUN, [HOST, authorization, (b"Content-Type", b"application/json")], body
        )
        session.try_all("first runs", [Example((raw,))])
    got = {name: key for name, (key, _) in keys.items()}
    return World(got, SECRET_KEY, sorted(session.checker.files), list(document["paths"]))


def fuzz(
    session: Session,
    world: World,
    document: Mapping[str, Any],
    *,
    requests: int,
    seed: int,
    only: Sequence[str],
) -> Iterator[str]:
    """Every kind in its share, and its name when it is done; about a third of the requests are
    schemathesis's.
    """
    if "large" in only or (requests >= _WARM_UP and not only):
        session.try_all("large", large(world))
        yield "large"
    ours = {kind: share for kind, (share, _) in KINDS.items() if kind in only or not only}
    for kind, share in ours.items():
        session.fuzz(kind, KINDS[kind][1](world), requests * share * 7 // 1000, seed)
        yield kind
    cases = [
        (name, strategy) for name, strategy in examples(document, world) if name in only or not only
    ]
    for index, (name, strategy) in enumerate(cases):
        share = (requests - session.sent.total()) // (len(cases) - index)
        session.fuzz(name, strategy, max(share, 1), seed)
    yield "schemathesis"


_LOG_S = 5.0


def check_log(session: Session, log: Log) -> None:
    """What the log must not say is one finding."""
    problems = [*log.problems()]
    deadline = time.monotonic() + _LOG_S
    while (unlogged := [*_unlogged(session, log)]) and time.monotonic() < deadline:
        time.sleep(0.02)  # the log is written by a thread of its own, which may be behind
        problems += log.problems()
    problems += unlogged
    if problems:
        got = tuple(dict.fromkeys(Problem("log", text) for text in problems))[:5]
        session.report(Finding(f"log, {len(problems)} lines", got, Example(())))


def _unlogged(session: Session, log: Log) -> Iterator[str]:
    """Answers without their line, or lines without an answer; what is refused before it is a
    request has none.
    """
    got: Counter[int] = Counter()
    for (_, status), times in session.statuses.items():
        got[status] += times
    for status in sorted(got.keys() | log.statuses.keys()):
        if status not in (400, 414) and got[status] != log.statuses[status]:
            yield f"{got[status]} answers with {status}, and {log.statuses[status]} lines"


def _settled(session: Session, world: World, memory: Memory) -> int:
    """The growth in kB over requests that keep nothing."""
    key = (b"Authorization", b"Bearer " + world.keys["default"].encode())
    image = "&".join(f"{name}={value}" for name, value in signed(world, world.files[0], FAR_FUTURE))
    raws = (
        render(
            b"POST",
            RUN,
            [HOST, key, (b"Content-Type", b"application/json")],
            b'{"user": "u", "inputs": {}}',
        ),
        render(b"GET", f"/files/tools/{world.files[0]}.png?{image}".encode(), [HOST]),
        render(b"GET", b"/v1/parameters", [HOST, key]),
    )
    example = Example(raws)
    session.wrong("keeping nothing", example)
    before = memory.sample(session.sent.total())
    for _ in range(_IDLE_REQUESTS // len(raws)):
        session.try_all("keeping nothing", [example])
    return memory.sample(session.sent.total()) - before


def _check_memory(session: Session, memory: Memory, idle_growth: int) -> None:
    growth = memory.samples[-1][1] - memory.at(_WARM_UP)
    for what, got, bound in (
        (f"after {_WARM_UP} requests", growth, _GROWTH_KB),
        ("over requests that keep nothing", idle_growth, _IDLE_GROWTH_KB),
    ):
        if got > bound:
            problem = Problem("memory", f"{_mb(got)} more {what}; {_mb(bound)} are allowed")
            session.report(Finding("memory", (problem,), Example(())))


def _mb(kilobytes: int) -> str:
    return f"{kilobytes / 1024:.1f} MB"
