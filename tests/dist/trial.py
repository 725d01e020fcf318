"""What a user does first with an installed wheel, in an empty environment and an empty folder."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.dist.building import DistError
from tests.serving import ROOT

KEY = "app-FakeHostKey0123456789abc"
_PNG = b"\x89PNG\r\n\x1a\n"
_PINNED = re.compile(r"^([A-Za-z0-9_.-]+==\S+(?: ; [^\\]+?)?) ?\\?$", re.MULTILINE)
_START_S = 30.0
_END_S = 10.0

_PROJECT = '''
import json
import urllib.request

from fake_dify import FakeHost


def image_of(host: FakeHost, prompt: str) -> bytes:
    body = {"inputs": {"prompt": prompt}, "response_mode": "blocking", "user": "u"}
    request = urllib.request.Request(
        f"{host.url}/v1/workflows/run",
        json.dumps(body).encode(),
        {"Authorization": f"Bearer {host.api_key}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request) as response:
        url: str = json.load(response)["data"]["outputs"]["files"][0]["url"]
    with urllib.request.urlopen(host.url + url) as response:
        image: bytes = response.read()
    return image


def test_image(fake_host: FakeHost) -> None:
    assert image_of(fake_host, "一只猫").startswith(b"\\x89PNG")
    assert [request.status for request in fake_host.requests] == [200, 200]


def test_own_host() -> None:
    with FakeHost(speed=None, seed=7) as host:
        first, again = image_of(host, "cat"), image_of(host, "cat")
    assert first.startswith(b"\\x89PNG")
    assert again.startswith(b"\\x89PNG")
'''
_WRONG = "from fake_dify import FakeHost\nFakeHost().url + 1\n"


class Environment:
    """A virtual environment in ``folder`` with an empty folder to work in."""

    def __init__(self, folder: Path, python: str) -> None:
        subprocess.run([python, "-m", "venv", str(folder / "venv")], check=True)
        self.bin = folder / "venv/bin"
        self.work = folder / "work"
        self.work.mkdir()
        self._constraints = folder / "constraints.txt"
        locks = (ROOT / name for name in ("requirements.lock", "requirements-dev.lock"))
        pinned = {line for lock in locks for line in _PINNED.findall(lock.read_text("utf-8"))}
        self._constraints.write_text("\n".join(sorted(pinned)) + "\n", "utf-8")

    def install(self, *requirements: str) -> float:
        """Install with pip, in the versions of the lock files; returns the seconds it took."""
        began = time.perf_counter()
        command = ("pip", "install", "--quiet", "--disable-pip-version-check")
        self.run(*command, "--constraint", str(self._constraints), *requirements)
        return time.perf_counter() - began

    def run(self, program: str, *args: str, code: int = 0) -> str:
        """What a program of the environment prints. Raises ``DistError`` for another exit code."""
        ended = subprocess.run(
            [str(self.bin / program), *args],
            cwd=self.work,
            env=self._environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        if ended.returncode != code:
            printed = f"{ended.stdout}{ended.stderr}"[-2000:]
            shown = " ".join((program, *args))
            raise DistError(f"{shown}: exit code {ended.returncode}, not {code}:\n{printed}")
        return ended.stdout + ended.stderr

    @contextmanager
    def serving(self) -> Iterator[str]:
        """``fake-server serve`` on a free port; its URL. It must end well by SIGTERM."""
        ready = self.work / "ready.json"
        command = [str(self.bin / "fake-server"), "serve", "--port", "0", "--speed", "instant"]
        with (self.work / "server.log").open("w+b") as log:
            process = subprocess.Popen(
                [*command, "--ready-file", str(ready)],
                cwd=self.work,
                env=self._environment(),
                stdout=log,
                stderr=log,
            )
            try:
                end = time.monotonic() + _START_S
                while not ready.exists():
                    if process.poll() is not None or time.monotonic() > end:
                        log.seek(0)
                        raise DistError(f"the server did not start:\n{log.read().decode()}")
                    time.sleep(0.02)
                yield json.loads(ready.read_text("utf-8"))["url"]
                process.send_signal(signal.SIGTERM)
                if process.wait(_END_S):
                    raise DistError(f"the server ended with {process.returncode}")
            finally:
                process.kill()
                process.wait()
        ready.unlink()

    @staticmethod
    def _environment() -> dict[str, str]:
        """Ours, without what makes a program look elsewhere for packages."""
        names = ("PYTHONPATH", "PYTHONHOME", "PYTHONWARNINGS", "VIRTUAL_ENV")
        return {name: value for name, value in os.environ.items() if name not in names}


def try_base(environment: Environment) -> None:
    """Everything but the checks that generate requests works without the extra."""
    _expect_versions(environment)
    with environment.serving() as url:
        expect_runs(url)
        host = ("--base-url", url, "--api-key", KEY)
        printed = environment.run("contract", "run", *host, code=2)
        _expect("pip install 'fake-dify[contract]'" in printed, "contract run", printed)
        environment.run("contract", "run", *host, "--only", "*_is_a_uuid")
    checks = json.loads(environment.run("contract", "list", "--json"))
    _expect(len(checks) > 300, "contract list", str(len(checks)))
    _expect_written(environment, "fake-server", "spec")
    _expect_written(environment, "fake-server", "scenarios")
    _expect_written(environment, "contract", "upgrade", "0.6.4", "1.14.2")


def try_tests(environment: Environment) -> None:
    """A user's tests with the fixture pass, also under mypy's strict rules."""
    (environment.work / "test_project.py").write_text(_PROJECT, "utf-8")
    (environment.work / "wrong.py").write_text(_WRONG, "utf-8")
    printed = environment.run("python", "-m", "pytest", "-q", "-W", "error")
    _expect("2 passed" in printed, "pytest", printed)
    environment.run("python", "-m", "mypy", "--strict", "test_project.py")
    printed = environment.run("python", "-m", "mypy", "--strict", "wrong.py", code=1)
    _expect("Unsupported operand types" in printed, "mypy", printed)


def try_extra(environment: Environment) -> None:
    """With the extra the whole suite runs."""
    with environment.serving() as url:
        environment.run("contract", "run", "--base-url", url, "--api-key", KEY, "--free-runs")


def _expect_versions(environment: Environment) -> None:
    code = "from importlib.metadata import version; print(version('fake-dify'))"
    version = environment.run("python", "-c", code)
    for program in ("fake-server", "fake-dify", "contract"):
        printed = environment.run(program, "--version")
        _expect(version.strip() in printed, f"{program} --version", printed)
    for package in ("fake_server", "contract"):
        printed = environment.run("python", "-m", package, "--version")
        _expect(version.strip() in printed, f"python -m {package} --version", printed)


def expect_runs(url: str, open_url: Callable[..., Any] = urllib.request.urlopen) -> None:
    """A blocking run with its image, and a stream, at ``url``. Raises ``DistError``."""
    blocking = json.loads(_sent(open_url, _run(url, "blocking")))
    files = blocking["data"]["outputs"]["files"]
    image = _sent(open_url, url + files[0]["url"])
    _expect(image.startswith(_PNG) and len(image) > 1000, "the image", repr(image[:40]))
    stream = _sent(open_url, _run(url, "streaming")).decode()
    _expect('"event": "workflow_finished"' in stream, "the stream", stream)


def _run(url: str, mode: str) -> urllib.request.Request:
    body = {"inputs": {"prompt": "一个胸有成竹的男人"}, "response_mode": mode, "user": "dist"}
    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
    return urllib.request.Request(f"{url}/v1/workflows/run", json.dumps(body).encode(), headers)


def _sent(open_url: Callable[..., Any], request: urllib.request.Request | str) -> bytes:
    with open_url(request, timeout=30) as response:
        body: bytes = response.read()
    return body


def _expect_written(environment: Environment, *command: str) -> None:
    printed = environment.run(*command)
    _expect(len(printed) > 1000, " ".join(command), printed)


def _expect(holds: bool, what: str, got: str) -> None:
    if not holds:
        raise DistError(f"{what}: {got[:2000]}")
