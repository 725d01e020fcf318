"""``make container``: the Dockerfile's own steps in empty roots, without a container engine; then
the image's command as its user, under a root that nothing can be written to.
"""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

from tests.container.dockerfile import Stage, Step, context, stages
from tests.container.root import PYTHON, Root
from tests.dist.trial import expect_runs
from tests.serving import ROOT

_BASE = {"PATH": f"{PYTHON}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "LANG": "C.UTF-8"}
_START_S = 20.0
_END_S = 2.0


class Built:
    """A stage whose steps have been run."""

    def __init__(self, root: Root, stage: Stage) -> None:
        self.root, self.stage = root, stage
        self.environment = dict(_BASE)
        self.workdir = "/"

    def run_steps(self, source: Path, others: dict[str, Built]) -> None:
        """Run the steps; COPY takes files from ``source`` or from ``others``."""
        for step in self.stage.steps:
            match step.name:
                case "WORKDIR":
                    self.workdir = step.value
                    self.root.path(self.workdir).mkdir(parents=True, exist_ok=True)
                case "ENV":
                    for name, value in (word.split("=", 1) for word in step.words):
                        self.environment[name] = self._filled(value)
                case "COPY":
                    self._copy(step.words, source, others)
                case "RUN":
                    print(f"  {step.value[:90]}…", flush=True)
                    self.root.run(step.value, self.workdir, self.environment)

    def _filled(self, value: str) -> str:
        return re.sub(r"\$(\w+)", lambda name: self.environment.get(name[1], ""), value)

    def _copy(self, words: list[str], source: Path, others: dict[str, Built]) -> None:
        *names, to = [word for word in words if not word.startswith("--from=")]
        of = next((word.removeprefix("--from=") for word in words if word.startswith("--")), None)
        inside = to if to.startswith("/") else f"{self.workdir}/{to.removeprefix('./')}"
        for name in names:
            self.root.copy(others[of].root.path(name) if of else source / name, inside)


def main() -> int:
    """Build and try; 0 if all is well."""
    with tempfile.TemporaryDirectory(prefix="fake-dify-container-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        _take_context(folder / "context")
        built: dict[str, Built] = {}
        try:
            for number, stage in enumerate(stages((ROOT / "Dockerfile").read_text("utf-8"))):
                (folder / str(number)).mkdir(mode=0o755)
                built[stage.name] = one = Built(Root(folder / str(number)), stage)
                print(f"stage {stage.name}", flush=True)
                one.run_steps(folder / "context", built)
        except subprocess.CalledProcessError as error:
            print(f"Error: {error.stdout[-3000:]}", file=sys.stderr)
            return 1
        size = sum(
            path.lstat().st_size for path in one.root.path("/opt").rglob("*") if path.is_file()
        )
        print(f"  the last stage adds {size / 1e6:.0f} MB to its base image")
        _try(one)
    return 0


def _take_context(folder: Path) -> None:
    for path in context(ROOT, (ROOT / ".dockerignore").read_text("utf-8")):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes((ROOT / path).read_bytes())


def _try(image: Built) -> None:
    """Start as ``docker run --read-only`` does, use it, and end it."""
    words = [*image.stage.last("ENTRYPOINT").words, *image.stage.last("CMD").words]
    user = image.stage.last("USER").value
    health = Step("CMD", image.stage.last("HEALTHCHECK").value.partition(" CMD ")[2]).words
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = {**image.environment, "FAKE_SERVER_PORT": str(port)}
    began = time.monotonic()
    server = subprocess.Popen(
        image.root.command([*words, "--speed", "instant"], image.workdir, user, read_only=True),
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        url = f"http://127.0.0.1:{port}"
        while not _listens(url):
            assert server.poll() is None, server.communicate()[0]
            assert time.monotonic() < began + _START_S
            time.sleep(0.02)
        print(f"  it listens after {time.monotonic() - began:.1f} s")
        check_health = image.root.command(health, image.workdir, user, read_only=True)
        assert subprocess.run(check_health, env=environment, check=False).returncode == 0
        expect_runs(url)
        status = Path(f"/proc/{server.pid}/status").read_text()
        assert f"Uid:\t{user.partition(':')[0]}\t" in status, status
        began = time.monotonic()
        server.terminate()
        assert server.wait(_END_S) == 0
        print(f"  SIGTERM ends it in {time.monotonic() - began:.2f} s")
        unhealthy = subprocess.run(check_health, env=environment, check=False, capture_output=True)
        assert unhealthy.returncode == 1
    finally:
        server.kill()
        server.wait()


def _listens(url: str) -> bool:
    try:
        urllib.request.urlopen(url, timeout=5).close()
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True


if __name__ == "__main__":
    sys.exit(main())
