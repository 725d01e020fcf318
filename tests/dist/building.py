"""Builds sdist and wheel into ``dist/``, twice, and the wheel from the sdist: the same bytes."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from tests.serving import ROOT

DIST = ROOT / "dist"
LIMIT_BYTES = 4_500_000
"""Of the wheel, so that a CI job installs it in no time."""


class DistError(Exception):
    """What is built, or what comes of it, is not as it should be."""


def build(twice: bool = True) -> tuple[Path, Path]:
    """Write wheel and sdist; returns their paths. Raises ``DistError``.

    Their files bear the time of the commit, so that a checkout gives the same bytes at any time.
    """
    environment = {**os.environ, "SOURCE_DATE_EPOCH": _commit_time()}
    for old in DIST.glob("fake_dify-*"):
        old.unlink()
    wheel, sdist = _built(ROOT, DIST, environment)
    with tempfile.TemporaryDirectory(prefix="fake-dify-dist-") as name:
        folder = Path(name)
        if twice:
            for first, again in zip(
                (wheel, sdist), _built(ROOT, folder / "again", environment), strict=True
            ):
                _expect_same(first, again, "a second build")
        with tarfile.open(sdist) as packed:
            packed.extraction_filter = tarfile.data_filter
            packed.extractall(folder)
        unpacked = folder / sdist.name.removesuffix(".tar.gz")
        again = _built(unpacked, folder / "from-sdist", environment, "wheel")[0]
        _expect_same(wheel, again)
    if wheel.stat().st_size > LIMIT_BYTES:
        raise DistError(f"{wheel.name} has {wheel.stat().st_size:,} bytes, over {LIMIT_BYTES:,}")
    return wheel, sdist


def _commit_time() -> str:
    """In seconds; outside of a Git checkout that of the environment, or hatchling's default."""
    command = ["git", "log", "-1", "--format=%ct"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return ended.stdout.strip() or os.environ.get("SOURCE_DATE_EPOCH", "1580601600")


def _built(
    source: Path, to: Path, environment: dict[str, str], *targets: str
) -> tuple[Path, ...]:
    """What hatchling builds of ``source``: ``targets``, or wheel and sdist."""
    for target in targets or ("wheel", "sdist"):
        command = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(to)]
        ended = subprocess.run(
            command, cwd=source, env=environment, capture_output=True, text=True, check=False
        )
        if ended.returncode:
            raise DistError(f"{target}: hatchling failed:\n{ended.stdout}{ended.stderr}")
    return tuple(sorted(to.glob("fake_dify-*"), key=lambda path: path.suffix != ".whl"))


def _expect_same(first: Path, again: Path, what: str = "a build from the sdist") -> None:
    if first.read_bytes() != again.read_bytes():
        raise DistError(f"{what} gives other bytes for {first.name}")
