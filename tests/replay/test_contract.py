"""The whole way: the suite records a host, the recordings are replayed, and the contract holds on
the replay.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from contract.check import Capability
from contract.checks import CHECKS
from dify_wire.app_kind import OTHER_APP_KINDS
from tests.serving import ROOT, ServerProcess, server_process

pytestmark = pytest.mark.server

_SECRET = "sk-of-the-judged-replay"  # public on purpose
_OF_TIME = [
    part
    for name, check in CHECKS.items()
    if Capability.FINITE_SPEED in check.needs
    for part in ("--skip", name)
]
_APPS = [part for kind in OTHER_APP_KINDS for part in ("--app", f"app-{kind:0<24}={kind}")]


def _checked(command: str, server: ServerProcess, *more: str) -> Sequence[str]:
    """How many checks were broken, not applicable and held, as the last line of the table says."""
    flags = [
        "--base-url",
        server.url,
        "--api-key",
        server.api_key,
        "--secret-key",
        _SECRET,
        *_APPS,
        *_OF_TIME,
        *more,
    ]
    ended = subprocess.run(
        [sys.executable, "-m", "contract", command, *flags],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=ROOT,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    table = re.search(r"^ *all +(\S+) +(\S+) +(\S+)", ended.stdout, re.MULTILINE)
    assert table is not None
    return table.groups()


def test_the_contract_holds_on_the_replay_as_on_the_host(tmp_path: Path) -> None:
    """Every check that passed when the recordings were made, and none is skipped instead; nothing
    was missed.

    Checks that compare the clock of this machine with times of the host are left out, for a busy
    machine fails them: ``test_playing`` holds the rhythm of a replay against a clock that stands
    still.
    """
    folder = tmp_path / "recorded"
    with server_process("--speed", "10", "--secret-key", _SECRET, *_APPS) as host:
        recorded = _checked("record", host, "--to", str(folder))
    with server_process(
        "--replay", str(folder), "--speed", "1", "--secret-key", _SECRET, *_APPS
    ) as replay:
        assert _checked("run", replay) == recorded
        assert " 501 " not in replay.log.read_text()
    assert recorded[0] == "-"
