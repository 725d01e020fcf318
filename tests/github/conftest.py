"""What is installed here, for environments that pip makes without a registry."""

from __future__ import annotations

import sysconfig
from pathlib import Path

import pytest


@pytest.fixture
def installed(tmp_path: Path) -> dict[str, str]:
    """Variables with which pip installs a package alone, and Python finds its dependencies: all
    that is installed here, but for the project itself.
    """
    folder = tmp_path / "installed"
    folder.mkdir()
    for path in Path(sysconfig.get_path("purelib")).iterdir():
        if "fake_dify" not in path.name and not path.name.startswith(("pip", "__")):
            (folder / path.name).symlink_to(path)
    return {
        "PYTHONPATH": str(folder),
        "PIP_NO_BUILD_ISOLATION": "0",  # read as the option itself: without isolation
        "PIP_NO_DEPS": "1",
        "PIP_NO_INDEX": "1",
    }
