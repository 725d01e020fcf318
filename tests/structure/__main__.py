"""``python -m tests.structure``: the figures as a table, with ``--list`` what stands behind
them.
"""

from __future__ import annotations

import json
import sys

from tests.structure import figures


def main(arguments: list[str]) -> None:
    if "--json" in arguments:
        print(json.dumps({one.name: one.value for one in figures.all_figures()}, indent=2))
        return
    for one in figures.all_figures():
        limit = "" if one.limit is None else f"at most {one.limit:,}"
        print(f"{one.name:52} {one.value:>7,}  {limit}")
        if "--list" in arguments:
            print(*(f"    {row}" for row in one.rows), sep="\n")


if __name__ == "__main__":
    main(sys.argv[1:])
