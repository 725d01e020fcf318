"""``make contract``: the whole suite against the fake at speed 10 with every power lent; nothing is
left unjudged.
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
    """The exit code of ``contract run`` with every power, and the checks that were not applicable
    all the same.
    """
    apps = [f"--app={key}={kind}" for kind, key in APP_KEYS.items()]
    with tempfile.TemporaryDirectory() as folder, server_process(*fake_options()) as server:
        report = Path(folder) / "report.json"
        command = [
            sys.executable,
            "-m",
            "contract",
            "run",
            "--base-url",
            server.url,
            "--api-key",
            server.api_key,
        ]
        command += [
            "--secret-key",
            SECRET,
            *apps,
            "--all-models",
            "--free-runs",
            "--admin-url",
            server.url,
        ]
        command += ["--json", str(report), *arguments]
        code = subprocess.run(command, check=False).returncode
        checks = json.loads(report.read_text())["checks"] if report.exists() else []
    return code, [check["name"] for check in checks if check["status"] == "skipped"]


def main() -> None:
    code, left_out = run_suite(sys.argv[1:])
    if left_out:
        sys.exit(f"skipped, though every power is lent: {', '.join(left_out)}")
    sys.exit(code)


if __name__ == "__main__":
    main()
