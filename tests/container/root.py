"""Roots of file systems that stand for a container's: this machine's programs, read-only, and an
empty folder over them. Linux, as root; without a container engine.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

_SYSTEM = ("bin", "etc", "lib", "lib64", "sbin", "usr")
PYTHON = "/opt/python"
"""The folder of ``python``, to be first on PATH: the base image has it in ``/usr/local/bin``."""

_ROOT_ID = "0:0"
_PASSED_ON = ("PIP_", "http_proxy", "https_proxy", "no_proxy", "SSL_CERT")


class Root:
    """One stage's file system in ``folder``, with this Python as ``python``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._bound = {f"/{name}": name for name in _SYSTEM if not Path("/", name).is_symlink()}
        self._bound |= {"/dev": "dev", "/proc": "proc"}
        if not sys.base_prefix.startswith("/usr"):
            self._bound[sys.base_prefix] = sys.base_prefix.lstrip("/")
        for name in _SYSTEM:
            if Path("/", name).is_symlink():
                (folder / name).symlink_to(Path("/", name).readlink())
        for name in ("tmp", *self._bound.values()):
            (folder / name).mkdir(parents=True, exist_ok=True)
        self.path(PYTHON).mkdir(parents=True)
        (self.path(PYTHON) / "python").symlink_to(f"{sys.base_prefix}/bin/python3")

    def path(self, inside: str) -> Path:
        """Where the absolute path ``inside`` is on this machine."""
        return self.folder / inside.lstrip("/")

    def command(
        self, words: Sequence[str], workdir: str, user: str = _ROOT_ID, read_only: bool = False
    ) -> list[str]:
        """What runs ``words`` in ``workdir``; signals reach the program itself."""
        root = shlex.quote(str(self.folder))
        mounts = [f"mount --bind {root} {root}"]
        for source, name in self._bound.items():
            kind = "--rbind" if name in ("dev", "proc") else "--bind"
            mounts.append(f"mount {kind} {shlex.quote(source)} {root}/{name}")
            if kind == "--bind":
                mounts.append(f"mount -o remount,ro,bind {root}/{name}")
        if read_only:
            mounts.append(f"mount -o remount,ro,bind {root}")
        change = f"cd {shlex.quote(workdir)} && exec {shlex.join(words)}"
        enter = f"exec chroot --userspec={user} {root} /bin/sh -c {shlex.quote(change)}"
        return ["unshare", "--mount", "sh", "-e", "-c", "\n".join([*mounts, enter])]

    def run(self, shell: str, workdir: str, environment: Mapping[str, str]) -> None:
        """Run a RUN instruction. Raises ``subprocess.CalledProcessError`` with its output."""
        subprocess.run(
            self.command(["/bin/sh", "-c", shell], workdir),
            env=with_registry(environment),
            check=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def copy(self, source: Path, inside: str) -> None:
        """Copy a file or the content of a folder to the absolute path ``inside``."""
        to = self.path(inside)
        to.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, to, symlinks=True, dirs_exist_ok=True)
        else:
            shutil.copy2(source, to / source.name if inside.endswith("/") else to)


def with_registry(environment: Mapping[str, str]) -> dict[str, str]:
    """``environment`` with what tells pip on this machine where packages are."""
    passed_on = {name: value for name, value in os.environ.items() if name.startswith(_PASSED_ON)}
    return {**passed_on, **environment}
