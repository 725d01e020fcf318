"""A check: a named claim about a host, where it is written that the claim holds, and where it was
seen to hold.
"""

from __future__ import annotations

import datetime
import inspect
import tomllib
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import ContextVar, copy_context
from dataclasses import dataclass, field
from enum import Enum, IntEnum, StrEnum
from functools import cache, partial
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

Claim = Callable[[Any], None]
"""A function of a ``contract.target.Target``."""


class Level(IntEnum):
    """On whose authority a claim stands: the vendor's document, every recorded host, or hosts of
    one version. What a deployment may choose for itself is reported, and fails no run.
    """

    DOCUMENT = 1
    HOST = 2
    VERSION = 3
    DEPLOYMENT = 4


class Capability(StrEnum):
    """What a target offers a check beyond its address and key."""

    SECRET = "the host's SECRET_KEY (--secret-key)"  # noqa: S105  # a description
    CHAT_KEY = "the key of a chat app (--app KEY=chat)"
    UNPUBLISHED_KEY = "the key of an unpublished app (--app KEY=unpublished)"
    DISABLED_KEY = "the key of a disabled app (--app KEY=disabled)"
    DELETED_KEY = "the key of a deleted app (--app KEY=deleted)"
    FINITE_SPEED = "a streaming run that takes at least 1.5 s"
    ALL_MODELS = "runs for every model (--all-models)"
    FREE_RUNS = "runs that cost nothing (--free-runs)"
    CLOCK = "the host's clock (--admin-url)"
    DOCUMENT_APP = "the app of the document (runs without --inputs and --app-file)"
    IMAGE = "an app whose run makes an image"


class Evidence(Enum):
    """Runs that checks share (``contract.evidence``); ``runs`` counts the images that one costs."""

    SHARED_RUNS = "a blocking run and a stream", 2
    STOPPED_RUN = "a run that is stopped", 1
    RUN_WITHOUT_MODE = "a run of the third model without response_mode", 1
    FOURTH_MODEL = "a run of the fourth model", 1
    FIFTH_MODEL = "a run of the fifth model", 1

    @property
    def runs(self) -> int:
        return self.value[1]


class Phase(IntEnum):
    """When a check runs. Errors cost a real host nothing, so they come before a budget is spent.

    Checks that move the host's clock come last and one by one: it changes what every other request
    gets meanwhile.
    """

    ERRORS = 1
    RUNS = 2
    GENERATED_RUNS = 3
    EXCHANGES = 4
    CLOCK = 5


@dataclass(frozen=True, slots=True)
class Check:
    """One claim. ``source`` points into openapi.yaml, the facts or the document; ``run`` raises a
    ``NotPassed``; ``area`` is the module that it is written in.

    A ``slow`` check imports schemathesis and can be left out. Where a check that ``settles`` its
    exchange fails, other failures on that exchange follow from it; ``follows_from`` names other
    causes (``contract.runner.with_causes``).
    """

    name: str
    claim: str
    level: Level
    source: str
    run: Claim
    area: str
    needs: tuple[Capability, ...] = ()
    uses: tuple[Evidence, ...] = (Evidence.SHARED_RUNS,)
    phase: Phase = Phase.RUNS
    slow: bool = False
    settles: bool = False
    follows_from: tuple[str, ...] = ()


CHECKS: dict[str, Check] = {}
"""Every check by its name, in the order of their files."""

_NEEDS_OF_AREAS = {
    **dict.fromkeys(
        ("expiry", "file_errors", "files", "images", "streamed_files"), (Capability.IMAGE,)
    ),
    "models": (Capability.DOCUMENT_APP,),
}
"""What all checks of an area need."""


def add_check(
    name: str, claim: str, level: Level, source: str, run: Claim, *, area: str = "", **options: Any
) -> None:
    """Add a check to ``CHECKS``; its area is the module of ``run``, and ``options`` are the other
    fields of ``Check``.
    """
    assert claim, f"{name} needs a sentence"
    assert name not in CHECKS, f"{name} is there twice"
    area = area or run.__module__.rpartition(".")[2]
    options["needs"] = (*options.get("needs", ()), *_NEEDS_OF_AREAS.get(area, ()))
    CHECKS[name] = Check(name, claim, level, source, run, area, **options)


def check(
    level: Level, source: str, *needs: Capability, **options: Any
) -> Callable[[Claim], Claim]:
    """Register a function of a ``Target`` as a check: its name is the claim, its docstring one
    sentence. ``options`` are other fields of ``Check``.
    """

    def decorate(run: Claim) -> Claim:
        claim = " ".join((inspect.getdoc(run) or "").split())
        add_check(run.__name__, claim, level, source, run, needs=needs, **options)
        return run

    return decorate


def free_check(
    level: Level, source: str, *needs: Capability, **options: Any
) -> Callable[[Claim], Claim]:
    """As ``check``, for what starts no run on a real host."""
    return check(level, source, *needs, uses=(), phase=Phase.ERRORS, **options)


# Where checks were seen to pass
# -------------------------------------------------------------------------------------------------

VERDICTS = Path(__file__).with_name("verified.toml")
FAKE_ONLY = "fake only"


@dataclass(frozen=True, slots=True)
class Seen:
    """Where a check was last seen to pass; ``recording`` is "fake only" without a host's own.
    ``also_on`` are other versions, recorded on that day.
    """

    host_version: str
    day: datetime.date
    recording: str
    also_on: Mapping[str, datetime.date] = field(default_factory=dict)

    def __str__(self) -> str:
        also = f"; also on {', '.join(self.also_on)}" if self.also_on else ""
        if self.recording == FAKE_ONLY:
            return f"on the fake of {self.host_version} only, {self.day}{also}"
        return f"on Dify {self.host_version}, {self.day}, {self.recording}{also}"


@cache
def verdicts(path: Path = VERDICTS) -> Mapping[str, Seen]:
    """The entries of verified.toml by the names of their checks."""
    entries = tomllib.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return {
        name: Seen(
            entry["host_version"], entry["day"], entry["recording"], entry.get("also_on", {})
        )
        for name, entry in entries.items()
    }


# What runs now: a recording is named after it, whichever thread sends
# -------------------------------------------------------------------------------------------------

CURRENT_CHECK: ContextVar[str] = ContextVar("current_check", default="")
"""The name of the check that runs; empty before the first."""

CLOCK_MOVED: ContextVar[bool] = ContextVar("clock_moved", default=False)
"""Whether the host's clock is moved: a recording of what it sends then could not be repeated."""

SIDE_REQUEST: ContextVar[bool] = ContextVar("side_request", default=False)
"""Whether the request only probes that the host still responds, and so belongs to no check."""

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")


class ContextPool(ThreadPoolExecutor):
    """A thread pool whose threads keep the context of whoever submits."""

    def submit(
        self,
        task: Callable[_Arguments, _Result],
        /,
        *args: _Arguments.args,
        **kwargs: _Arguments.kwargs,
    ) -> Future[_Result]:
        return super().submit(copy_context().run, partial(task, *args, **kwargs))
