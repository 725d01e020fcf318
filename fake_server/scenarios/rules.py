"""Rules: which requests a behaviour befalls, and how often. All of them make the rule book of a server.

Of the rules that a request satisfies, those of its own header come first, then those that were added while the server
runs, then those of its file. Each brings its behaviour upon the request; one whose behaviour cannot act beside an
earlier one stays out of it. A rule with ``times`` is used up after so many requests, and makes room for a later one.
"""

from __future__ import annotations

import random
from collections import OrderedDict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fake_server.scenarios.behaviour import RUN, Behaviour, find
from fake_server.scenarios.conditions import TIMES, Asked, Conditions, read_conditions
from fake_server.scenarios.effects import NO_EFFECTS, Effects
from fake_server.scenarios.errors import ScenarioError, unknown

_KEYS = ("name", "with", "when", "times")
_REMEMBERED_HEADERS = 1_000


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What rules may speak of: the operations of the spec, and the nodes of all apps by id, title and type."""

    operations: tuple[str, ...]
    nodes: frozenset[str]


@dataclass(slots=True)
class Rule:
    """One rule and how often it was satisfied (``seen``) and brought its behaviour (``matched``)."""

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
        return random.Random(f"{chosen}|{self.rule_id}|{self.seen}").random() < conditions.probability

    @property
    def takes_all(self) -> bool:
        """Whether no request that satisfies the conditions is left to a later rule."""
        return self.times is None and self.conditions.always

    @property
    def shown(self) -> dict[str, object]:
        """The rule as JSON, as it was said."""
        said = {"name": self.behaviour.name, "with": dict(self.parameters), "when": dict(self.when)}
        return {"id": self.rule_id, **said, "times": self.times, "source": self.source, "matched": self.matched}

    def forget(self) -> None:
        self.seen = self.matched = 0


@dataclass(frozen=True, slots=True)
class Match:
    """What befalls one request: the names of the scenarios, and what they do together."""

    names: tuple[str, ...]
    effects: Effects


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
        raise missing if name is None else ScenarioError(f"a text is needed, not {name!r}", ("name",))
    try:
        behaviour = find(name)
    except ScenarioError as error:
        raise error.within("name") from None
    parameters = _within("with", lambda: behaviour.read(_mapping(said.get("with"))))
    _within("with", lambda: _check_nodes(behaviour, parameters, around.nodes))
    when = _mapping(said.get("when"), "when")
    conditions = _within("when", lambda: _conditions(behaviour, when, source, around.operations))
    times = None if said.get("times") is None else TIMES.read(said["times"])
    effects = _within("with", lambda: behaviour.make(**parameters))
    return Rule(rule_id, source, behaviour, parameters, when, conditions, times, effects)


def _conditions(
    behaviour: Behaviour, when: Mapping[str, object], source: str, operations: tuple[str, ...]
) -> Conditions:
    """Rules speak of runs unless they say otherwise; a header speaks of the request that carries it."""
    usual = {} if source == "header" else {"operation": RUN}
    conditions = read_conditions({**usual, **when}, operations)
    if conditions.operation is not None and not behaviour.acts_on(conditions.operation):
        known = ", ".join(operation for operation in operations if behaviour.acts_on(operation))
        message = f"{behaviour.name} cannot act on {conditions.operation}; it acts on: {known}"
        raise ScenarioError(message, ("operation",))
    return conditions


def _check_nodes(behaviour: Behaviour, parameters: Mapping[str, Any], nodes: frozenset[str]) -> None:
    node = parameters.get("node")
    if "node" in behaviour.parameters and node is not None and node not in nodes:
        raise ScenarioError(unknown("node of any app (id, title or type)", node, sorted(nodes)), ("node",))


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
    """Raise ``ScenarioError`` where one of ``rules`` can never come to act because an earlier one always does.

    The first ``checked`` have been found to go together before; places in the error are counted behind them.
    """
    ruling: dict[tuple[str, tuple[str, str] | None], list[int]] = {}
    for index, later in enumerate(rules):
        exact = later.conditions.exact
        for text in (None, *exact) if index >= checked else ():
            _check_against(ruling.get((later.exclusion, text), ()), index, rules, checked)
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


class RuleBook:
    """The rules of one server. They are replaced whole, so that a request sees all of a change or nothing."""

    def __init__(self, around: Surroundings, seed: int | None, rules: Iterable[Mapping[str, object]] = ()) -> None:
        self._around = around
        self._seed = 0
        self._number = 0
        self._fixed: tuple[Rule, ...] = tuple(self._made(rules, "file"))
        self._added: tuple[Rule, ...] = ()
        self._of_headers: OrderedDict[bytes, list[Rule]] = OrderedDict()
        check_together(self._fixed)
        self._reseed(seed)

    @property
    def empty(self) -> bool:
        """Whether there is no rule at all."""
        return not (self._added or self._fixed)

    def add(self, said: Mapping[str, object] | Sequence[Mapping[str, object]]) -> list[Rule]:
        """Add one rule or several, all or none. Raises ``ScenarioError``."""
        number, alone = self._number, not isinstance(said, list | tuple)
        try:
            rules = self._made([said] if alone else said, "admin")
            check_together([*self._added, *rules], checked=len(self._added))
        except ScenarioError as error:
            self._number = number
            raise (ScenarioError(error.message, error.place[1:]) if alone else error) from None
        self._added = (*self._added, *rules)
        return rules

    def remove(self, rule_id: str) -> bool:
        """Take one added rule away; False where there is none of that id."""
        left = tuple(rule for rule in self._added if rule.rule_id != rule_id)
        found = len(left) < len(self._added)
        self._added = left
        return found

    def clear(self) -> None:
        """Take every added rule away; those of the file stay."""
        self._added = ()

    def reset(self, seed: int | None) -> None:
        """As at the start: only the rules of the file, nothing counted, and ``seed`` decides over probabilities."""
        self.clear()
        self._of_headers.clear()
        self._number = len(self._fixed)
        for rule in self._fixed:
            rule.forget()
        self._reseed(seed)

    def shown(self) -> list[dict[str, object]]:
        """Every rule as JSON, in the order in which they are asked."""
        return [rule.shown for rule in (*self._added, *self._fixed)]

    def match(self, asked: Asked, header: bytes | None) -> Match | None:
        """What befalls this request; None where nothing does. Raises ``ScenarioError`` for its ``header``."""
        chosen: list[Rule] = []
        taken: set[str] = set()
        for rule in (*(self._header_rules(header) if header else ()), *self._added, *self._fixed):
            if rule.takes(asked, taken, self._seed):
                chosen.append(rule)
                taken.add(rule.exclusion)
        if not chosen:
            return None
        effects = sum((rule.effects for rule in chosen), NO_EFFECTS)
        return Match(tuple(rule.behaviour.name for rule in chosen), effects)

    def _header_rules(self, header: bytes) -> list[Rule]:
        known = self._of_headers.get(header)
        if known is None:
            from fake_server.scenarios.header import read_header

            known = [
                rule_of(said, f"{header!r}|{index}", "header", self._around)
                for index, said in enumerate(read_header(header))
            ]
            check_together(known)
            self._of_headers[header] = known
            if len(self._of_headers) > _REMEMBERED_HEADERS:
                self._of_headers.popitem(last=False)
        return known

    def _made(self, said: Iterable[object], source: str) -> list[Rule]:
        rules = []
        for index, one in enumerate(said):
            try:
                rules.append(self._rule(one, source))
            except ScenarioError as error:
                raise error.within(index) from None
        return rules

    def _rule(self, said: object, source: str) -> Rule:
        self._number += 1
        return rule_of(said, str(self._number), source, self._around)

    def _reseed(self, seed: int | None) -> None:
        self._seed = random.SystemRandom().getrandbits(64) if seed is None else seed
