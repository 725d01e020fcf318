"""A rule: which requests a behaviour befalls, and how often; read from what a file, a header or a
call says of it.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fake_server.scenarios.behaviour import RUN, Behaviour, find
from fake_server.scenarios.conditions import TIMES, Asked, Conditions, read_conditions
from fake_server.scenarios.effects import Effects
from fake_server.scenarios.errors import ScenarioError, unknown

_KEYS = ("name", "with", "when", "times")

COMPARISONS = 100_000
"""The most pairs of rules that are compared for contradictions; rules that take more are
refused.
"""

_MOST_TIMES = 1 << 53
"""More often than this no rule ever matches: a greater number is read as this one, which JSON can
show.
"""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What rules may speak of: the operations of the spec, and the nodes of all apps by id, title
    and type.
    """

    operations: tuple[str, ...]
    nodes: frozenset[str]


@dataclass(slots=True)
class Rule:
    """One rule and how often it was satisfied (``seen``) and brought its behaviour
    (``matched``).
    """

    rule_id: str
    source: str
    behaviour: Behaviour
    parameters: Mapping[str, Any]
    when: Mapping[str, Any]
    conditions: Conditions
    times: int | None
    effects: Effects
    seen: int = 0
    matched: int = 0
    exclusion: str = field(init=False)
    """The word that no two behaviours of one request may share."""

    def __post_init__(self) -> None:
        self.exclusion = self.behaviour.exclusion(self.parameters)

    def takes(self, asked: Asked, taken: Collection[str], seed: int) -> bool:
        """Whether this request is one for the rule; counts it."""
        if not self.conditions.hold(asked) or not self.behaviour.acts_on(asked.operation):
            return False
        self.seen += 1
        if self.exclusion in taken or not self._is_due(seed):
            return False
        self.matched += 1
        return True

    def _is_due(self, seed: int) -> bool:
        if self.times is not None and self.matched >= self.times:
            return False
        conditions = self.conditions
        if conditions.call is not None and self.seen != conditions.call:
            return False
        if conditions.probability is None:
            return True
        chosen = seed if conditions.seed is None else conditions.seed
        return (
            random.Random(f"{chosen}|{self.rule_id}|{self.seen}").random() < conditions.probability
        )

    @property
    def takes_all(self) -> bool:
        """Whether no request that satisfies the conditions is left to a later rule."""
        return self.times is None and self.conditions.always

    @property
    def shown(self) -> dict[str, object]:
        """The rule as JSON, as it was said."""
        said = {"name": self.behaviour.name, "with": dict(self.parameters), "when": dict(self.when)}
        return {
            "id": self.rule_id,
            **said,
            "times": self.times,
            "source": self.source,
            "matched": self.matched,
        }

    def forget(self) -> None:
        self.seen = self.matched = 0


def rule_of(said: object, rule_id: str, source: str, around: Surroundings) -> Rule:
    """The rule that ``said`` describes. Raises ``ScenarioError``."""
    if not isinstance(said, Mapping):
        raise ScenarioError(f"a mapping with a name is needed, not {said!r}")
    for key in said:
        if key not in _KEYS:
            raise ScenarioError(unknown("key of a rule", str(key), _KEYS), (str(key),))
    name = said.get("name")
    if not isinstance(name, str):
        missing = ScenarioError("the name of a scenario is missing; add it")
        raise (
            missing if name is None else ScenarioError(f"a text is needed, not {name!r}", ("name",))
        )
    try:
        behaviour = find(name)
    except ScenarioError as error:
        raise error.within("name") from None
    parameters = _within("with", lambda: behaviour.read(_mapping(said.get("with"))))
    _within("with", lambda: _check_nodes(behaviour, parameters, around.nodes))
    when = _mapping(said.get("when"), "when")
    conditions = _within("when", lambda: _conditions(behaviour, when, source, around.operations))
    times = None if said.get("times") is None else min(TIMES.read(said["times"]), _MOST_TIMES)
    effects = _within("with", lambda: behaviour.make(**parameters))
    return Rule(rule_id, source, behaviour, parameters, when, conditions, times, effects)


def _conditions(
    behaviour: Behaviour, when: Mapping[str, object], source: str, operations: tuple[str, ...]
) -> Conditions:
    """Rules speak of runs unless they say otherwise; a header speaks of the request that carries
    it.
    """
    usual = {} if source == "header" else {"operation": RUN}
    conditions = read_conditions({**usual, **when}, operations)
    if conditions.operation is not None and not behaviour.acts_on(conditions.operation):
        known = ", ".join(operation for operation in operations if behaviour.acts_on(operation))
        message = f"{behaviour.name} cannot act on {conditions.operation}; it acts on: {known}"
        raise ScenarioError(message, ("operation",))
    return conditions


def _check_nodes(
    behaviour: Behaviour, parameters: Mapping[str, Any], nodes: frozenset[str]
) -> None:
    node = parameters.get("node")
    if "node" in behaviour.parameters and node is not None and node not in nodes:
        raise ScenarioError(
            unknown("node of any app (id, title or type)", node, sorted(nodes)), ("node",)
        )


def _mapping(said: object, *place: str) -> Mapping[str, Any]:
    if said is None:
        return {}
    if not isinstance(said, dict):
        raise ScenarioError(f"a mapping is needed, not {said!r}", place)
    return said


def _within(key: str, read: Any) -> Any:
    try:
        return read()
    except ScenarioError as error:
        raise error.within(key) from None


def check_together(rules: Sequence[Rule], checked: int = 0) -> None:
    """Raise ``ScenarioError`` where one of ``rules`` can never come to act because an earlier one
    always does.

    The first ``checked`` have been found to go together before; places in the error are counted
    behind them. Rules that take more than ``COMPARISONS`` of two are refused.
    """
    ruling: dict[tuple[str, tuple[str, str] | None], list[int]] = {}
    comparisons = 0
    for index, later in enumerate(rules):
        exact = later.conditions.exact
        for text in (None, *exact) if index >= checked else ():
            earlier = ruling.get((later.exclusion, text), ())
            comparisons += len(earlier)
            if comparisons > COMPARISONS:
                raise ScenarioError(
                    "there are too many rules to compare; give them exact texts", (index - checked,)
                )
            _check_against(earlier, index, rules, checked)
        if later.takes_all:
            ruling.setdefault((later.exclusion, exact[0] if exact else None), []).append(index)


def _check_against(earlier: Sequence[int], index: int, rules: Sequence[Rule], checked: int) -> None:
    for number in earlier:
        if rules[number].conditions.cover(rules[index].conditions):
            raise ScenarioError(
                f"{_named(rules, number)} and {_named(rules, index)} contradict each other: the first always acts "
                "where the second could, and both cannot; take one out, or give the first times or other conditions",
                (index - checked,),
                (number - checked,) if number >= checked else (),
            )


def _named(rules: Sequence[Rule], index: int) -> str:
    """By its id where it has one that can be seen, else by its place."""
    rule = rules[index]
    return f"{rule.behaviour.name} (rule {index + 1 if rule.source == 'header' else rule.rule_id})"
