"""``make contract``: the whole suite against the fake at speed 10 with every capability; nothing is
skipped.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.contract.verdicts import APP_KEYS, SECRET, fake_options
from tests.serving import server_process


def run_suite(arguments: list[str]) -> tuple[int, list[str]]:
    """The exit code of ``contract run`` with every capability, and the checks that it skipped."""
    with server_process(*fake_options()) as server:
        return suite_at(server.url, server.api_key, server.url, arguments)


def suite_at(url: str, api_key: str, admin_url: str, arguments: list[str]) -> tuple[int, list[str]]:
    """The same against the fake at ``url``, started with ``fake_options``."""
    apps = [f"--app={key}={kind}" for kind, key in APP_KEYS.items()]
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [
            *(sys.executable, "-m", "contract", "run", "--base-url", url),
            *("--api-key", api_key, "--secret-key", SECRET, *apps),
            *("--all-models", "--free-runs", "--admin-url", admin_url),
            *("--json", str(report), *arguments),
        ]
        code = subprocess.run(command, check=False).returncode
        checks = json.loads(report.read_text())["checks"] if report.exists() else []
    return code, [check["name"] for check in checks if check["status"] == "skipped"]


def main() -> None:
    code, skipped = run_suite(sys.argv[1:])
    if skipped:
        sys.exit(f"skipped, though the target has every capability: {', '.join(skipped)}")
    sys.exit(code)


if __name__ == "__main__":
    main()
