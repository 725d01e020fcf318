"""Every mutant, by the part of the contract that it breaks."""

from __future__ import annotations

import importlib
import pkgutil

from tests.mutants.mutant import Mutant


def _collected() -> dict[str, Mutant]:
    found: dict[str, Mutant] = {}
    for module in pkgutil.iter_modules(__path__):
        for mutant in importlib.import_module(f"{__name__}.{module.name}").AREA.mutants:
            assert mutant.name not in found, f"there are two mutants {mutant.name}"
            found[mutant.name] = mutant
    return found


MUTANTS: dict[str, Mutant] = _collected()
"""All mutants by their names, in the order of the files and in each file as written."""
