"""``make npm``: the npm packages that some tests use, in ``.npm``, which git ignores."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from tests.serving import ROOT
from tests.tools import absent, needed

PACKAGES = {
    "@microsoft/fetch-event-source": "2.0.1",
    "@playwright/test": "1.65.1",
    "@stoplight/prism-cli": "5.14.2",
    "axe-core": "4.14.1",
    "eventsource-parser": "3.1.1",
    "openapi-typescript": "7.13.0",
    "typescript": "5.9.3",
    "vite": "8.3.8",
}

_MODULES = ROOT / ".npm" / "node_modules"


def link_packages(names: Iterable[str], folder: Path) -> None:
    """Give ``folder`` a ``node_modules`` with everything that ``make npm`` installs, in place of
    an ``npm install`` of ``names``. Skips the test where one of them is not there.
    """
    needed("node")
    missing = [name for name in names if not (_MODULES / name / "package.json").is_file()]
    if missing:
        absent(f"{', '.join(missing)} is not installed: make npm")
    modules = folder / "node_modules"
    modules.mkdir(exist_ok=True)
    for installed in _MODULES.iterdir():  # one by one, so that caches of tools land in the folder
        if not (modules / installed.name).exists() and installed.name != ".vite":
            (modules / installed.name).symlink_to(installed)


def package_file(package: str, name: str) -> Path:
    """A file of a package that ``make npm`` has installed; skips the test where it is not there."""
    path = _MODULES / package / name
    return path if path.is_file() else absent(f"{package} is not installed: make npm")


def main() -> int:
    """Install them."""
    npm = shutil.which("npm")
    if npm is None:
        print("npm is missing; install Node.js 20.19 or newer")
        return 2
    _MODULES.parent.mkdir(exist_ok=True)
    options = ("--no-audit", "--no-fund", "--silent", "--prefix", str(_MODULES.parent))
    wanted = (f"{name}@{version}" for name, version in PACKAGES.items())
    return subprocess.run([npm, "install", *options, *wanted], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
