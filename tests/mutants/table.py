"""``docs/mutants.md``: each mutant, the check that kills it, and whether schemathesis alone
does.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from tests.serving import ROOT

PATH = ROOT / "docs" / "mutants.md"

NOT_RUN = "not run"
"""What the table says of schemathesis for a mutant that it was not given."""

_ROW = re.compile(r"\| `(?P<name>\w+)` \| (?P<breaks>.*?) \| (?P<ours>.*?) \| (?P<alone>.*?) \|")

_HEAD = """# Mutants

The fake, broken in one way each, and what finds it: the check of this suite that must find just
that, and the first failure that schemathesis reports when it runs alone with the same spec (all
checks, coverage and fuzzing). `make mutants` runs the suite; this table is written by
`python -m tests.mutants.schemathesis_alone` (`--keep`: without schemathesis, which then does not
run on new mutants). What schemathesis reports about the untouched host (its own 500s, requests that
only the schema calls valid) is its baseline and does not count.

{score}
"""
_TABLE_HEAD = """
## {area}

| mutant | what is broken | killed by | by schemathesis alone |
|---|---|---|---|
"""


@dataclass(frozen=True, slots=True)
class Row:
    """One mutant's line; ``ours`` and ``alone`` are empty where nothing saw it."""

    area: str
    name: str
    breaks: str
    ours: str
    alone: str


def written(rows: Sequence[Row]) -> str:
    """The whole file."""
    ours = sum(bool(row.ours) for row in rows)
    alone = _score([row.alone for row in rows])
    score = f"Of {len(rows)} mutants this suite kills {ours}, schemathesis alone {alone}."
    parts = [_HEAD.format(score=score)]
    for area in dict.fromkeys(row.area for row in rows):
        parts.append(_TABLE_HEAD.format(area=area[0].upper() + area[1:]))
        parts += [_line(row) for row in rows if row.area == area]
    return "".join(parts)


def _line(row: Row) -> str:
    ours = f"`{row.ours}`" if row.ours else "-"
    breaks = row.breaks.replace("|", r"\|")
    return f"| `{row.name}` | {breaks} | {ours} | {row.alone or '-'} |\n"


def rows() -> dict[str, tuple[str, str]]:
    """By the mutant's name: what of this suite killed it, and what of schemathesis alone; empty
    where nothing did.
    """
    if not PATH.exists():
        return {}
    found = map(_ROW.fullmatch, PATH.read_text(encoding="utf-8").splitlines())
    return {row["name"]: (_seen(row["ours"]), _seen(row["alone"])) for row in found if row}


def _seen(cell: str) -> str:
    return "" if cell == "-" else cell.strip("`")


def schemathesis_score() -> str:
    """What schemathesis alone was seen to kill when it was last run."""
    score = _score([alone for _, alone in rows().values()])
    return f"by schemathesis alone (docs/mutants.md): {score}"


def _score(alone: Sequence[str]) -> str:
    run = [killed for killed in alone if killed != NOT_RUN]
    return f"{sum(map(bool, run))} of the {len(run)} that it was run on"
