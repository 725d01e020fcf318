"""The Python interpreters of this machine that the package says it runs on."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

OLDEST = (3, 11)
NEWEST = (3, 14)
_NAME = re.compile(r"python3\.\d+")


def found(named: str = "") -> dict[str, str]:
    """The interpreters by their version, such as ``3.12``: those that ``named`` lists, else all
    on PATH and in ``~/.pyenv/versions``, the newest release of each version.
    """
    by_version: dict[str, tuple[tuple[int, ...], str]] = {}
    for program in named.split() or _programs():
        release = _release(program)
        if release is not None and release[:2] >= OLDEST:
            version = f"{release[0]}.{release[1]}"
            by_version[version] = max(by_version.get(version, ((), "")), (release, program))
    ordered = sorted(by_version.items(), key=lambda one: one[1])
    return {version: program for version, (_, program) in ordered}


def missing(pythons: dict[str, str]) -> list[str]:
    """The versions that should work, and are not here to be tried."""
    wanted = (f"3.{minor}" for minor in range(OLDEST[1], NEWEST[1] + 1))
    return [version for version in wanted if version not in pythons]


def _programs() -> Iterator[str]:
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        with_names = Path(folder).iterdir() if Path(folder).is_dir() else ()
        yield from (str(path) for path in with_names if _NAME.fullmatch(path.name))
    yield from map(str, (Path.home() / ".pyenv/versions").glob("3.*/bin/python"))


def _release(program: str) -> tuple[int, ...] | None:
    """Its version as numbers; None where it does not start, as a shim of a version that is not
    chosen, or cannot make environments.
    """
    code = "import ensurepip, lzma, ssl, venv, sys; print(*sys.version_info[:3])"
    path = shutil.which(program)
    if path is None:
        return None
    ended = subprocess.run([path, "-I", "-c", code], capture_output=True, text=True, check=False)
    return tuple(map(int, ended.stdout.split())) if ended.returncode == 0 else None
