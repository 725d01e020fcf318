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
from tests.pages.markdown import code, table
from tests.serving import ROOT

_LEVELS = {
    Level.DOCUMENT: "the vendor's document states it; a host that breaks it fails",
    Level.HOST: "every recorded host does so; a host that breaks it fails",
    Level.VERSION: "hosts of some versions do so; a host of such a version that breaks it fails",
    Level.DEPLOYMENT: "a deployment may choose otherwise; a difference is reported and fails no run",
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

_INTRODUCTION = """# Checks

The {count} checks of the contract suite. `contract run` runs all of them, `--only` and `--skip`
choose by name (`*` stands for anything), `contract list` prints them. [Contract
tests](contract.md) says how; `make docs` makes this page from the code.

## How to read the tables

**Level** is on whose authority a claim stands:

{levels}

**Source** is where the claim is written: a section of [FACTS.md](FACTS.md) with the recorded
exchange that shows it, lines of the [vendor's document](host-document.txt), or a schema of
[`openapi.yaml`](../openapi.yaml). Where each check was seen to pass, and when, stands in
[`contract/verified.toml`](../contract/verified.toml).

**Needs** is what a host has to offer beyond its address and a key; without it the check is
skipped:

{needs}

**Cost** is which runs on the host a check uses. Runs are shared: a whole suite costs the images
of this table, however many checks it runs. A check without an entry starts no run.

{costs}
"""


def checks_page() -> str:
    """The whole page."""
    introduction = _INTRODUCTION.format(
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
    return "\n".join([introduction, *(_area(name, list(checks)) for name, checks in areas)])


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
