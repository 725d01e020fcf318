"""Rule books without a server, and requests to match with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from fake_server.scenarios.conditions import RequestFacts
from fake_server.scenarios.parameters import ScenarioError, rule_field
from fake_server.scenarios.rules import RuleBook, RuleContext

CONTEXT = RuleContext(
    operations=("runWorkflow", "stopWorkflowTask", "getToolFile"),
    nodes=frozenset({"1713938000004", "Stable Diffusion", "tool", "llm"}),
)

RUN = RequestFacts(
    "runWorkflow",
    {b"user-agent": b"tests"},
    prompt="a cat",
    model="dosmix_",
    user="alg123",
    mode="blocking",
)


def book(
    *rules: Mapping[str, object], added: Sequence[Mapping[str, object]] = (), seed: int = 1
) -> RuleBook:
    """A book with ``rules`` from a file, and others that were added."""
    made = RuleBook(CONTEXT, seed, rule_field(list(rules)))
    if added:
        made.add(list(added))
    return made


def names(rules: RuleBook, facts: RequestFacts = RUN, header: str | None = None) -> tuple[str, ...]:
    """The scenarios that act on the request."""
    match = rules.match(facts, None if header is None else header.encode())
    return () if match is None else match.names


def error_of(rule: Any) -> str:
    """The error for ``rule``, which must leave a book as it was."""
    rules = book(added=[{"name": "no_ping"}])
    before = rules.to_json()
    with pytest.raises(ScenarioError) as caught:
        rules.add(rule)
    assert rules.to_json() == before
    message = str(caught.value)
    assert "\n" not in message
    return message
