"""Hatch's hook: a wheel holds the recordings of each version as one archive, ``contract upgrade``
unpacks those that it compares.

They are 4,000 files that have much in common: one by one they would take 4 MB of the wheel, packed
together 0.6 MB, and an installation need not write them.
"""

from __future__ import annotations

import lzma
import tarfile
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

INSTALLED = "dify_wire/data/recordings"


class PackRecordings(BuildHookInterface[Any]):
    """Adds ``recordings/<version>.tar.xz`` to a wheel; an editable one reads the checkout."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatchling before it builds ``version``."""
        if version == "editable":
            return
        self._made = tempfile.TemporaryDirectory(prefix="fake-dify-build-")
        for folder in sorted(Path(self.root, "recordings").iterdir()):
            if folder.is_dir():
                name = f"{folder.name}.tar.xz"
                pack(folder, Path(self._made.name, name))
                build_data["force_include"][str(Path(self._made.name, name))] = (
                    f"{INSTALLED}/{name}"
                )

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Called by hatchling when the wheel is written."""
        if version != "editable":
            self._made.cleanup()


def pack(folder: Path, archive: Path) -> None:
    """Write ``folder`` to ``archive``: the same bytes for the same files, whoever owns them and
    whenever they changed.
    """
    files = sorted(path for path in folder.rglob("*") if _is_recorded(path.relative_to(folder)))
    with (
        lzma.open(archive, "wb") as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        for path in files:
            if path.is_file():
                entry = tarfile.TarInfo(path.relative_to(folder.parent).as_posix())
                entry.size = path.stat().st_size
                with path.open("rb") as file:
                    tar.addfile(entry, file)


def _is_recorded(path: Path) -> bool:
    """Whether Git keeps it: the index of recordings, ``.fake-dify``, is made beside them."""
    return not any(part.startswith(".") for part in path.parts)
