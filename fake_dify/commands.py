"""The commands ``fake-server`` and ``contract``, which work beside packages of the same names on
``sys.path``.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

_OURS = Path(__file__).parent.parent


def fake_server() -> None:
    """Run the command ``fake-server``."""
    _find_ours("fake_server")
    from fake_server.cli import main

    main()


def contract() -> None:
    """Run the command ``contract``."""
    _find_ours("contract")
    from contract.cli import main

    main()


def _find_ours(package: str) -> None:
    """Put our own packages first on ``sys.path`` where another package hides one of them, as with
    PYTHONPATH=.
    """
    for name in ("dify_wire", package):
        spec = find_spec(name)
        if spec is None or spec.origin is None or Path(spec.origin).parent.parent != _OURS:
            sys.path.insert(0, str(_OURS))
            return
