"""``docs/checks.md``: every check of the contract suite, by the part of the contract."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator
from functools import cache
from itertools import groupby

from contract.check import Capability, Check, Evidence, Level, Phase
from contract.checks import CHECKS
from tests.pages.markdown import code, generated, introduction, table
from tests.serving import ROOT

_LEVELS = {
    Level.DOCUMENT: "the vendor's document states it; a host that breaks it fails",
    Level.HOST: "every recorded host does so; a host that breaks it fails",
    Level.VERSION: "hosts of some versions do so; a host of such a version that breaks it fails",
    Level.DEPLOYMENT: "a deployment may choose otherwise; a difference is reported, no failure",
}

_WORDS = {
    Capability.SECRET: "secret",
    Capability.CHAT_KEY: "chat app",
    Capability.UNPUBLISHED_KEY: "unpublished app",
    Capability.DISABLED_KEY: "disabled app",
    Capability.DELETED_KEY: "deleted app",
    Capability.FINITE_SPEED: "time",
    Capability.ALL_MODELS: "all models",
    Capability.FREE_RUNS: "free runs",
    Capability.CLOCK: "clock",
    Capability.DOCUMENT_APP: "document's app",
    Capability.IMAGE: "image",
}

_COSTS = {
    Evidence.SHARED_RUNS: "shared",
    Evidence.STOPPED_RUN: "stopped",
    Evidence.RUN_WITHOUT_MODE: "third model",
    Evidence.FOURTH_MODEL: "fourth model",
    Evidence.FIFTH_MODEL: "fifth model",
}


def checks_page() -> str:
    """The whole page."""
    first = introduction(
        "checks",
        count=len(CHECKS),
        levels=table(
            ("level", "meaning"), ((_level(level), text) for level, text in _LEVELS.items())
        ),
        needs=table(("needs", "the host offers"), ((_WORDS[one], one.value) for one in Capability)),
        costs=table(
            ("cost", "the run", "images"),
            ((_COSTS[one], one.value[0], str(one.runs)) for one in Evidence),
        ),
    )
    areas = groupby(CHECKS.values(), lambda one: one.area)
    return generated("\n".join([first, *(_area(name, list(checks)) for name, checks in areas)]))


def _area(name: str, checks: list[Check]) -> str:
    about = inspect.getdoc(sys.modules[f"contract.checks.{name}"]) or ""
    heading = name.replace("_", " ").capitalize()
    rows = table(("check", "claim", "level", "source", "needs", "cost"), map(_row, checks))
    return f"## {heading}\n\n{' '.join(about.split()).replace('``', '`')}\n\n{rows}\n"


def _row(check: Check) -> tuple[str, ...]:
    return (
        code(check.name),
        _plain(check.claim),
        _level(check.level),
        _linked(check.source),
        ", ".join(_WORDS[one] for one in check.needs),
        ", ".join(_costs(check)),
    )


def _costs(check: Check) -> Iterator[str]:
    if check.phase is Phase.GENERATED_RUNS:
        yield "runs of its own"
    yield from (_COSTS[one] for one in check.uses)


def _level(level: Level) -> str:
    return level.name.lower()


def _plain(text: str) -> str:
    return re.sub(r"``(.*?)``", r"`\1`", text).replace("<", "&lt;")


def _linked(source: str) -> str:
    """``source`` with a link where it begins with a section of the facts."""
    anchors = _anchors_of_facts()
    return re.sub(
        r"^FACTS (\d+)",
        lambda found: f"[FACTS {found[1]}](FACTS.md#{anchors[found[1]]})",
        _plain(source),
    )


@cache
def _anchors_of_facts() -> dict[str, str]:
    text = (ROOT / "docs/FACTS.md").read_text("utf-8")
    headings = re.findall(r"^## ((\d+)\b.*)$", text, re.MULTILINE)
    return {number: anchor(heading) for heading, number in headings}


def anchor(heading: str) -> str:
    """The anchor of a heading, as both MkDocs and the repository's page make it."""
    kept = re.sub(r"[^\w\s-]", "", heading.strip().lower())
    return re.sub(r"\s", "-", kept)
