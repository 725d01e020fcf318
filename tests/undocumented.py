"""``make schemathesis``: Schemathesis finds no response that ``fake-server spec`` leaves out.

It sends random requests, valid and invalid ones, to a fake of each version. What else it reports,
and why a host does so, stands in ``docs/how-to/openapi-tools.md``.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from fake_server.testing import FakeHost

VERSIONS = ("0.6.4", "1.4.3", "1.14.2")
CHECKS = (
    "status_code_conformance,content_type_conformance,response_headers_conformance,"
    "response_schema_conformance"
)


def main(examples: str = "30") -> int:
    """Test every version, and that an undocumented response would be found; 0 for both."""
    undocumented = [version for version in VERSIONS if _run(version, examples, hidden="") != 0]
    if undocumented:
        print(f"undocumented responses: {', '.join(undocumented)}")
    blind = _run(VERSIONS[0], "1", hidden="'400':", quiet=True) != 1
    if blind:
        print("a document without its 400 responses should have been found wanting")
    return int(bool(undocumented) or blind)


def _run(version: str, examples: str, *, hidden: str, quiet: bool = False) -> int:
    """The exit code of a run against the document without the responses that are ``hidden``."""
    programs = Path(sys.executable).parent
    command = [str(programs / "fake-server"), "spec", "--host-version", version]
    spec = subprocess.run(command, capture_output=True, encoding="utf-8", check=True).stdout
    if hidden:
        assert hidden in spec
        spec = spec.replace(hidden, "'499':")
    with tempfile.TemporaryDirectory() as folder, FakeHost(host_version=version) as host:
        path = Path(folder) / f"dify-{version}.yaml"
        path.write_text(spec, "utf-8")
        key = f"Authorization: Bearer {host.api_key}"
        run = [str(programs / "schemathesis"), "run", path.name, "--url", host.url, "-H", key]
        options = ["--checks", CHECKS, "--max-examples", examples, "--seed", "1"]
        return subprocess.run(
            [*run, *options], cwd=folder, capture_output=quiet, check=False
        ).returncode


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
