"""The catalogue of mutants is sound, and a sample of it is killed; ``make mutants`` judges them
all.
"""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from contract.checks import CHECKS
from contract.preflight import PREFLIGHT
from tests.mutants import table
from tests.mutants.catalogue import MUTANTS
from tests.mutants.edits import edit_json
from tests.mutants.evaluate import (
    Status,
    checks_without_a_mutant,
    failures_of,
    quick_checks,
    run_mutant,
    unknown_killers,
)
from tests.mutants.mutant import Mutant
from tests.mutants.serving import untouched

KILLERS = (*CHECKS, PREFLIGHT.name)

_INSTANT = [mutant for mutant in MUTANTS.values() if mutant.speed is None]
"""The mutants that need no time to be seen."""

_AREAS = list(dict.fromkeys(mutant.area for mutant in _INSTANT))
_CHOICE = random.Random(20240424)
_SAMPLE = [_CHOICE.choice([one for one in _INSTANT if one.area == area]) for area in _AREAS[::2]]


def test_there_are_enough_mutants() -> None:
    """The capability promises 120; each name is there once, or the catalogue would not import."""
    assert len(MUTANTS) >= 120


def test_killers_are_checks() -> None:
    """Each killer fits a check that there is: a check that is renamed takes its mutants along."""
    unknown = {name: found for name, one in MUTANTS.items() if (found := unknown_killers(one))}
    assert unknown == {}, "no check has these names"
    assert all(mutant.killers for mutant in MUTANTS.values())


@pytest.mark.server
@pytest.mark.parametrize(
    "mutant", [one for one in MUTANTS.values() if one.refused], ids=lambda one: one.name
)
def test_mutant_that_cannot_be_checked_is_killed_by_the_line_that_names_its_cause(
    mutant: Mutant,
) -> None:
    assert run_mutant(mutant).status is Status.KILLED
    assert run_mutant(replace(mutant, refused="")).status is Status.WRONG_REASON
    assert run_mutant(replace(mutant, refused="it sleeps")).status is Status.WRONG_REASON


@pytest.mark.server
def test_mutant_that_should_not_have_been_checked_is_killed_for_the_wrong_reason() -> None:
    mutant = replace(MUTANTS["url_relative"], refused="no Dify is at this address")
    assert run_mutant(mutant).status is Status.WRONG_REASON


def test_every_check_has_a_mutant() -> None:
    """For each check there is a mutant that only this check is to see: a check that nothing breaks
    shows nothing.
    """
    missing = checks_without_a_mutant(MUTANTS.values())
    assert missing == [], "add a mutant of their own in tests/mutants/catalogue/"


@pytest.mark.server
@pytest.mark.parametrize("mutant", _SAMPLE, ids=lambda mutant: mutant.name)
def test_sampled_mutant_is_killed_for_the_right_reason(mutant: Mutant) -> None:
    """One of the checks that are to see it fails."""
    result = run_mutant(mutant)
    assert result.status is Status.KILLED, result


@pytest.mark.server
def test_mutant_that_crashes_is_not_killed() -> None:
    """What its own code raises is no finding of the suite, whichever checks fail."""
    wrap = edit_json(lambda request, _: request.is_run, lambda body: body["no such key"])
    mutant = replace(MUTANTS["json_null_as_empty"], wrap=wrap, killers=("*",))
    result = run_mutant(mutant)
    assert result.status is Status.CRASHED
    assert result.error == "KeyError: 'no such key'"


@pytest.mark.server
def test_untouched_host_passes() -> None:
    """What kills mutants lets the host live that nothing was done to."""
    host = Mutant("untouched", "untouched", "Nothing.", (), untouched)
    assert [result.reason for result in failures_of(host, quick_checks())] == []


def test_table_has_every_mutant() -> None:
    """docs/mutants.md has the mutants in the order of the catalogue, and none that survived."""
    rows = table.rows()
    to_do = "run .venv/bin/python -m tests.mutants.schemathesis_alone --keep"
    assert list(rows) == list(MUTANTS), to_do
    assert [name for name, (ours, _) in rows.items() if ours not in KILLERS] == [], to_do
