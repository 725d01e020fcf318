"""Every check, by the part of the contract that it judges. Importing this fills
``contract.check.CHECKS``.
"""

import importlib
import pkgutil

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
