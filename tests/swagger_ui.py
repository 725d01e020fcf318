"""``python -m tests.swagger_ui``: fetch Swagger UI, which the API reference of the console is made
with, again from npm.

Its files stand unchanged in ``fake_server/console/static/reference/swagger-ui``, and
``vendored.json`` there says from which version of which package, with the hashes of all of it. With
a version, that one takes its place: ``python -m tests.swagger_ui 5.36.0``.
"""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

from fake_server.console import STATIC

FOLDER = STATIC / "reference/swagger-ui"
ABOUT = FOLDER / "vendored.json"
PACKAGE = "swagger-ui-dist"
FILES = (
    "LICENSE",
    "NOTICE",
    "swagger-ui-bundle.js",
    "swagger-ui-bundle.js.LICENSE.txt",
    "swagger-ui.css",
)


def integrity(data: bytes, name: str = "sha512") -> str:
    """The hash of ``data`` as npm and browsers write it."""
    return f"{name}-{base64.b64encode(hashlib.new(name, data).digest()).decode()}"


def about() -> dict[str, Any]:
    """What ``vendored.json`` says."""
    found: dict[str, Any] = json.loads(ABOUT.read_text("utf-8"))
    return found


def main(arguments: list[str]) -> int:
    """Fetch the pinned version, or the one that is given; 1 where a hash is not the pinned one."""
    npm = shutil.which("npm")
    if npm is None:
        print("npm is missing; install Node.js 20.19 or newer")
        return 2
    pinned = about()
    version = arguments[0] if arguments else pinned["version"]
    with tempfile.TemporaryDirectory() as folder:
        command = [npm, "pack", "--silent", "--pack-destination", folder, f"{PACKAGE}@{version}"]
        if subprocess.run(command, check=False, stdout=subprocess.DEVNULL).returncode:
            return 2
        [archive] = Path(folder).glob("*.tgz")
        fetched = integrity(archive.read_bytes())
        if not arguments and fetched != pinned["integrity"]:
            print(f"{PACKAGE} {version} is not what was pinned: {fetched}")
            return 1
        hashes = {}
        with tarfile.open(archive) as packed:
            for name in FILES:
                member = packed.extractfile(f"package/{name}")
                assert member is not None
                data = member.read()
                (FOLDER / name).write_bytes(data)
                hashes[name] = integrity(data, "sha384")
    new = {
        "package": PACKAGE,
        "version": version,
        "license": "Apache-2.0",
        "integrity": fetched,
        "files": hashes,
    }
    ABOUT.write_text(json.dumps(new, indent=2) + "\n", "utf-8")
    print(f"{PACKAGE} {version}: {sum((FOLDER / name).stat().st_size for name in FILES):,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
