"""Programs and options for tests that start other programs."""

from __future__ import annotations

import os
import shutil
from typing import NoReturn

import pytest

STRICT = "STRICT_TOOLS"
"""Set in CI, where everything is installed: a missing program then fails the test instead of
skipping it.
"""

QUICK = tuple(
    part
    for name in ("cacheprovider", "randomly", "schemathesis", "hypothesispytest", "xdist")
    for part in ("-p", f"no:{name}")
)
"""Options of a pytest run within a test: no plugin that only costs time there."""


def needed(program: str) -> str:
    """The path of ``program``; ``absent`` where it is missing."""
    path = shutil.which(program)
    return absent(f"{program} is not installed") if path is None else path


def absent(reason: str) -> NoReturn:
    """Skips the test, or fails it under ``STRICT_TOOLS``, as something is not installed."""
    if os.environ.get(STRICT):
        pytest.fail(reason)
    pytest.skip(reason)
