"""Rule books without a server, and requests to ask them about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from fake_server.scenarios import Asked, RuleBook, ScenarioError
from fake_server.scenarios.rules import Surroundings

AROUND = Surroundings(
    operations=("runWorkflow", "stopWorkflowTask", "getToolFile"),
    nodes=frozenset({"1713938000004", "Stable Diffusion", "tool", "llm"}),
)

RUN = Asked(
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
    made = RuleBook(AROUND, seed, rules)
    if added:
        made.add(list(added))
    return made


def names(rules: RuleBook, asked: Asked = RUN, header: str | None = None) -> tuple[str, ...]:
    """What befalls ``asked``."""
    match = rules.match(asked, None if header is None else header.encode())
    return () if match is None else match.names


def mistake(said: Any) -> str:
    """How a book refuses ``said``, which must leave it as it was."""
    rules = book(added=[{"name": "no_ping"}])
    before = rules.shown()
    with pytest.raises(ScenarioError) as refused:
        rules.add(said)
    assert rules.shown() == before
    message = str(refused.value)
    assert "\n" not in message
    return message
