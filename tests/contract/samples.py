"""Checks of the tests' own, kept out of the suite's register."""

from __future__ import annotations

from collections.abc import Callable

from contract.check import Capability, Check, Level
from contract.result import NotRun, expect, expect_equal
from contract.target import Target
from dify_wire.exchange import Exchange

KEY = "app-SampleKey0123456789abcde"


def answer_is_200(target: Target) -> None:
    """The host answers."""
    expect_equal(
        greeting(target).status, 200, "status", greeting(target), why="it is there to answer"
    )


def answer_is_json(target: Target) -> None:
    """The answer is JSON."""
    expect(
        greeting(target).media_type == "application/json",
        "JSON",
        greeting(target).media_type,
        greeting(target),
    )


def host_is_of_today(target: Target) -> None:
    """The host is the newest."""
    got = greeting(target).header("x-version")
    expect(got == "today", "today", got, greeting(target), level=Level.DEPLOYMENT)


def secret_is_good(target: Target) -> None:
    """The secret signs."""


def evidence_is_missing(target: Target) -> None:
    """The evidence is there."""
    raise NotRun("there is no evidence", greeting(target))


def check_crashes(target: Target) -> None:
    """The check foresees everything."""
    raise KeyError("never seen before")


def greeting(target: Target) -> Exchange:
    found: Exchange = target.shared("greeting", lambda: target.send(target.get_request("/v1/")))
    return found


def check(run: Callable[[Target], None], level: Level = Level.HOST, *needs: Capability) -> Check:
    name, claim = run.__name__, run.__doc__ or ""
    return Check(name, claim, level, "FACTS 0", run, "samples", needs, uses=())


def checks(*listed: Check) -> dict[str, Check]:
    return {one.name: one for one in listed}


HOLDING = checks(check(answer_is_200, Level.DOCUMENT), check(answer_is_json))
EVERY_END = checks(
    check(answer_is_200, Level.DOCUMENT),
    check(answer_is_json),
    check(host_is_of_today, Level.VERSION),
    check(secret_is_good, Level.HOST, Capability.SECRET),
    check(evidence_is_missing),
    check(check_crashes),
)
