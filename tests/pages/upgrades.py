"""The pages by their names: one for each pair of neighbours, and the list of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise

from contract.report.upgrade import upgrade_markdown
from contract.upgrade.changes import Upgrade, upgrade, versions_with_recordings
from tests.pages.markdown import generated

_LIST = """# From version to version

What a client sees when its host moves to the next recorded version of Dify: the same requests, sent
to real hosts of both. `contract upgrade FROM TO` compares any two of them
([contract.md](../contract.md#rehearse-an-upgrade)); [profiles.md](../profiles.md) tells how to add
a version.

| from | to | changes |
|---|---|---|
"""


def pages(upgrade: Callable[[str, str], Upgrade] = upgrade) -> Mapping[str, str]:
    found, rows = {}, []
    for a, b in pairwise(versions_with_recordings()):
        compared = upgrade(a, b)
        name = f"{a}-to-{b}.md"
        found[name] = generated(upgrade_markdown(compared))
        rows.append(f"| {a} | {b} | [{len(compared.changes)}]({name}) |")
    return {**found, "README.md": generated(_LIST + "\n".join(rows) + "\n")}
