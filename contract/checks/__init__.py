"""Every check, by the part of the contract that it is about; importing this registers them."""

import importlib
import pkgutil

from contract.check import CHECKS

__all__ = ["CHECKS"]

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
