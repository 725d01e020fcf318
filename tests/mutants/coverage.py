"""Which checks the catalogue holds to account: each is to be the only killer that some mutant
names.
"""

from __future__ import annotations

from collections.abc import Iterable

from contract.check import CHECKS
from tests.mutants.mutant import Mutant


def checks_without_a_mutant(mutants: Iterable[Mutant]) -> list[str]:
    """The checks that no mutant names alone, in the order of ``CHECKS``.

    A mutant that names one check and no other is killed only where this check fails with a finding
    of its own; so while ``make mutants`` is green, each check outside this list was seen to fail
    for its own reason.
    """
    named_alone = {names[0] for mutant in mutants if len(names := _named_by(mutant)) == 1}
    return [name for name in CHECKS if name not in named_alone]


def _named_by(mutant: Mutant) -> list[str]:
    return [name for name in CHECKS if mutant.may_be_killed_by(name)]
