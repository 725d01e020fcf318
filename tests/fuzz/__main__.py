"""``python -m tests.fuzz``: fuzz a server of its own and say what it must not have done. Exit code
1 on any finding.

``python -m tests.fuzz files`` gives mutated files to the commands that read them.
"""

from __future__ import annotations

import argparse
import sys

from tests.fuzz import files
from tests.fuzz.campaign import REQUESTS, SEED, run


def main() -> int:
    """Run the command line."""
    if sys.argv[1:2] == ["files"]:
        return files.main(sys.argv[2:])
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument(
        "--requests", type=int, default=REQUESTS, help="how many to send (default: %(default)s)"
    )
    parser.add_argument(
        "--seed", type=int, default=SEED, help="what decides them all (default: %(default)s)"
    )
    parser.add_argument(
        "--only", action="append", default=[], metavar="KIND", help="only this kind; repeatable"
    )
    arguments = parser.parse_args()
    report = run(arguments.requests, arguments.seed, arguments.only, _print)
    print(report)
    return 1 if report.findings else 0


def _print(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
