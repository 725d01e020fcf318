"""Server, recorder and suite do without what Windows lacks: nobody's make, uvloop or ``fork``."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.dist.trial import KEY, expect_runs
from tests.serving import ROOT
from tests.windows.sitecustomize import MODULES, OURS

pytestmark = pytest.mark.server

_ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if not name.startswith("FAKE_SERVER_")},
    "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), str(ROOT)]),
    "PYTHONIOENCODING": "cp1252",  # of output that is redirected, in Western Europe
}


def python(*args: str) -> subprocess.CompletedProcess[str]:
    """A Python as on Windows."""
    return subprocess.run(
        [sys.executable, *args],
        cwd=ROOT,
        env=_ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@contextmanager
def serving(folder: Path, *args: str, stop: int = signal.SIGINT) -> Iterator[dict[str, Any]]:
    """``python -m fake_server`` with ``args``, on a free port, ended as Ctrl-C does; what it writes
    to its ready file.
    """
    ready = folder / "ready.json"
    command = [sys.executable, "-m", "fake_server", *args, "--port", "0"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "--ready-file", str(ready)],
            cwd=folder,
            env=_ENVIRONMENT,
            stdout=log,
            stderr=log,
        )
    try:
        end = time.monotonic() + 20
        while not ready.exists():
            assert process.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < end
            time.sleep(0.01)
        yield json.loads(ready.read_text())
        process.send_signal(stop)
        assert process.wait(10) == 0, (folder / "log").read_text()
    finally:
        process.kill()
        process.wait()


def test_what_windows_lacks_is_not_there() -> None:
    """The tests below would see it."""
    for statement in ("import fcntl", "import os; os.nice", "from signal import SIGKILL"):
        code = f"__name__ = 'fake_server.x'; exec({statement!r}, {{'__name__': __name__}})"
        ended = python("-c", code)
        assert ended.returncode == 1
        assert "Error" in ended.stderr
    assert python("-c", "import subprocess; subprocess.run(['true'])").returncode == 0


def test_every_module_can_be_imported() -> None:
    code = f"""
import importlib, pathlib
for package in {OURS}:
    for path in sorted(pathlib.Path(package).rglob("*.py")):
        name = ".".join(path.with_suffix("").parts).removesuffix(".__init__")
        if not name.endswith("__main__"):
            importlib.import_module(name)
import sys
print([name for name in {MODULES} if name in sys.modules and sys.modules[name]])
"""
    ended = python("-c", code)
    assert ended.returncode == 0, ended.stderr
    assert "uvloop" not in ended.stdout


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_fake_serves_and_ends_well(stop: int, tmp_path: Path) -> None:
    with serving(tmp_path, "serve", "--speed", "instant", stop=stop) as ready:
        expect_runs(ready["url"])
        (tmp_path / "ready.json").unlink()
    assert "一个胸有成竹的男人" in (tmp_path / "log").read_text("utf-8")


def test_contract_suite_runs(tmp_path: Path) -> None:
    with serving(tmp_path, "serve", "--speed", "instant") as ready:
        host = ("--base-url", ready["url"], "--api-key", KEY)
        ended = python("-m", "contract", "run", *host, "--html", str(tmp_path / "report.html"))
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "Passed" in ended.stdout
    assert (tmp_path / "report.html").exists()


def test_recorder_writes_what_a_replay_serves(tmp_path: Path) -> None:
    """With a process of its own, which ends with it; a second one may use the folder after it."""
    mine = tmp_path / "mine"
    for name in ("host", "proxy", "replay"):
        (tmp_path / name).mkdir()
    with serving(tmp_path / "host", "serve", "--speed", "instant") as host:
        record = ("record", "--upstream", host["url"], "--to", str(mine))
        with serving(tmp_path / "proxy", *record) as proxy:
            expect_runs(proxy["url"])
    recorded = list(mine.glob("*.yaml"))
    assert len(recorded) >= 2
    ended = python("-m", "contract", "recordings", "check", str(mine))
    assert ended.returncode == 0, ended.stdout + ended.stderr
    serve = ("serve", "--replay", str(mine), "--api-key", KEY, "--speed", "instant")
    with serving(tmp_path / "replay", *serve) as replay:
        expect_runs(replay["url"])
