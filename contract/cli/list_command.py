"""``contract list``: every check, its claim, and where it is written."""

from __future__ import annotations

import json
from typing import Any

import click

from contract.check import Check
from contract.cli import session
from contract.verified import verdicts


@click.command(name="list")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def list_(as_json: bool) -> None:
    """Name every check, its claim, and where it is written."""
    checks = session.all_checks()
    if as_json:
        click.echo(
            json.dumps([_listed(check) for check in checks.values()], ensure_ascii=False, indent=1)
        )
        return
    area = ""
    for check in checks.values():
        if check.area != area:
            area = check.area
            click.echo(f"\n{area}")
        click.echo(
            f"  {check.name}\n      {check.claim}\n      {check.level.name.lower()}: {check.source}"
        )


def _listed(check: Check) -> dict[str, Any]:
    return {
        "name": check.name,
        "area": check.area,
        "claim": check.claim,
        "level": check.level.name.lower(),
        "source": check.source,
        "needs": [need.name.lower() for need in check.needs],
        "seen": str(verdicts().get(check.name, "")),
    }
