"""The whole contract through the recorder: no check notices what stands between."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.recorder.upstreams import recorder_process
from tests.serving import ROOT, server_process

pytestmark = pytest.mark.server


def test_contract_holds_through_the_recorder(tmp_path: Path) -> None:
    """And of all its exchanges none is lost, nor is the key in any of them.

    The host is instant, for a busy machine fails checks that compare clocks; ``test_passing`` has
    the times of chunks.
    """
    folder = tmp_path / "to"
    with (
        server_process("--speed", "instant") as fake,
        recorder_process(fake.url, folder) as recorder,
    ):
        command = [
            sys.executable,
            "-m",
            "contract",
            "run",
            "--base-url",
            recorder.url,
            "--api-key",
            fake.api_key,
        ]
        checked = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
        )
        assert recorder.end() == 0
        assert " 0 lost" in recorder.output()
        assert "Traceback" not in recorder.output()
    assert checked.returncode == 0, checked.stdout[-5000:] + checked.stderr
    recorded = recorder.recorded()
    assert len(recorded) > 150
    assert {one.host_version for one in recorded} <= {"", "0.6.4"}
    assert {one.app for one in recorded} <= {"main", None}
    assert not [path for path in folder.rglob("*.yaml") if fake.api_key in path.read_text()]
