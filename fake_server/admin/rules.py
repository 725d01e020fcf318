"""Scenarios by admin call."""

from __future__ import annotations

from starlette.requests import Request

from fake_server.admin.call import Admin, Said
from fake_server.admin.fields import RefusedError, body_of, query_of
from fake_server.scenarios import ScenarioError
from fake_server.scenarios.errors import shown_place


async def scenarios(admin: Admin, request: Request) -> Said:
    """Every rule, and how often it matched."""
    return Said({"scenarios": admin.host.scenarios.shown()})


async def add_scenarios(admin: Admin, request: Request) -> Said:
    """Add one rule or a list of them, all or none."""
    said = await body_of(request)
    try:
        added = admin.host.scenarios.add(said)
    except ScenarioError as error:
        raise RefusedError(400, error.message, shown_place(error.place) or None) from None
    return Said({"scenarios": [rule.shown for rule in added]}, 201)


async def remove_scenarios(admin: Admin, request: Request) -> Said:
    """Take away the rule of an id, or all that were added while the server ran."""
    asked = query_of(request, ("id",))
    rules = admin.host.scenarios
    before = len(rules.shown())
    if "id" not in asked:
        rules.clear()
    elif not rules.remove(asked["id"]):
        raise RefusedError(404, f"no rule that was added has the id {asked['id']!r}", "id")
    return Said({"removed": before - len(rules.shown())})
