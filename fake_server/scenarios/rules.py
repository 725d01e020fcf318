"""Rules, the rule book of a server, and the file of ``--scenarios`` with its JSON Schema.

Of the rules that a request satisfies, those of its own header come first, then those that were
added while the server runs, then those of its file. Each lets its behaviour act, unless one that it
cannot act beside has acted already. A rule with ``times`` is used up after so many requests, and
makes room for a later one.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

from dify_wire.strict import Field, unknown
from dify_wire.text_file import SpecError, file_errors
from dify_wire.yaml_file import line_of, load_yaml
from fake_server.bounded import BoundedDict
from fake_server.scenarios.behaviour import RUN, Behaviour
from fake_server.scenarios.conditions import (
    IN_HEADERS,
    TEXTS,
    TIMES,
    Conditions,
    RequestFacts,
    read_conditions,
)
from fake_server.scenarios.conditions import schema as conditions_schema
from fake_server.scenarios.effects import NO_EFFECTS, Effects
from fake_server.scenarios.parameters import ScenarioError, parse_header, rule_field

_MAX_HEADERS = 1_000
_MAX_TIMES = 1 << 53
"""A greater number is read as this one, which any JSON reader can hold."""


Count = Callable[[bytes], Awaitable[int]]
"""Counts a name, and returns how often it has been counted."""


class RuleContext(NamedTuple):
    """What rules may name: the operations of the spec, and the nodes of all apps by id, title and
    type.
    """

    operations: tuple[str, ...]
    nodes: frozenset[str]


@dataclass(slots=True)
class Rule:
    """One rule, how many requests satisfied its conditions (``seen``) and how often it acted.

    ``path`` is its place in what was read.
    """

    rule_id: str
    source: str
    path: str
    behaviour: Behaviour
    parameters: Mapping[str, Any]
    when: Mapping[str, Any]
    conditions: Conditions
    times: int | None
    effects: Effects
    exclusion: str
    seen: int = 0
    matched: int = 0

    def takes(self, facts: RequestFacts, excluded: Collection[str], seed: int) -> bool:
        """Whether the rule acts on this request; counts it."""
        if not self.conditions.hold(facts) or not self.behaviour.acts_on(facts.operation):
            return False
        self.seen += 1
        if self.exclusion in excluded or not self._is_due(seed, self.seen):
            return False
        self.matched += 1
        return True

    async def takes_once(
        self, facts: RequestFacts, excluded: Collection[str], seed: int, count: Count
    ) -> bool:
        """The same where several servers count together. Raises ``LogError``."""
        conditions, key = self.conditions, f"{self.source}|{self.rule_id}".encode()
        if not conditions.hold(facts) or not self.behaviour.acts_on(facts.operation):
            return False
        seen = self.seen = self.seen + 1
        if conditions.call is not None or conditions.probability is not None:
            seen = self.seen = await count(b"seen|" + key)
        if self.exclusion in excluded or not self._is_due(seed, seen):
            return False
        if self.times is None:
            self.matched += 1
            return True
        matched = await count(b"times|" + key)
        self.matched = max(self.matched, min(matched, self.times))
        return matched <= self.times

    def _is_due(self, seed: int, seen: int) -> bool:
        if self.times is not None and self.matched >= self.times:
            return False
        conditions = self.conditions
        if conditions.call is not None and seen != conditions.call:
            return False
        if conditions.probability is None:
            return True
        chosen = seed if conditions.seed is None else conditions.seed
        chance = random.Random(f"{chosen}|{self.rule_id}|{seen}").random()
        return chance < conditions.probability

    def to_json(self) -> dict[str, object]:
        return {
            "id": self.rule_id,
            "name": self.behaviour.name,
            "with": dict(self.parameters),
            "when": dict(self.when),
            "times": self.times,
            "source": self.source,
            "matched": self.matched,
        }

    def reset(self) -> None:
        self.seen = self.matched = 0


def behaviours() -> Mapping[str, Behaviour]:
    """Every behaviour by its name, loaded by the first rule."""
    from fake_server.scenarios.behaviours import BEHAVIOURS

    return BEHAVIOURS


def read_rule(field: Field, rule_id: str, source: str, context: RuleContext) -> Rule:
    """The rule in ``field``. Raises ``ScenarioError``."""
    field.only("name", "with", "when", "times")
    known = behaviours()
    behaviour = known[field["name"].choice(known, "scenario")]
    given = field.get("with") or rule_field({}, field.path)
    parameters = behaviour.read(given)
    node = parameters.get("node")
    if node is not None and node not in context.nodes:
        given["node"].fail(unknown("node (id, title or type)", node, sorted(context.nodes)))
    when = field.get("when") or rule_field({}, field.path)
    conditions = _conditions(behaviour, when, source, context.operations)
    try:
        effects = behaviour.make(**parameters)
    except ScenarioError as error:
        given[error.path].fail(error.message)
    return Rule(
        rule_id,
        source,
        field.path,
        behaviour,
        parameters,
        when.mapping(),
        conditions,
        _times(field.get("times")),
        effects,
        behaviour.exclusion(parameters),
    )


def _times(field: Field | None) -> int | None:
    if field is None:
        return None
    if field.value == math.inf:  # what a file's reader makes of a number beyond any float
        return _MAX_TIMES
    times: int = TIMES.read(field)
    return min(times, _MAX_TIMES)


def _conditions(
    behaviour: Behaviour, when: Field, source: str, operations: tuple[str, ...]
) -> Conditions:
    """A rule matches runs unless it names an operation; a header, the request that carries it."""
    default = {} if source == "header" else {"operation": RUN}
    conditions = read_conditions(rule_field({**default, **when.mapping()}, when.path), operations)
    if conditions.operation is not None and not behaviour.acts_on(conditions.operation):
        known = ", ".join(operation for operation in operations if behaviour.acts_on(operation))
        when["operation"].fail(
            f"{behaviour.name} cannot act on {conditions.operation}; it acts on: {known}"
        )
    return conditions


def read_header(value: bytes) -> list[dict[str, Any]]:
    """The rules in the header, as a file would write them. Raises ``ScenarioError``.

    Beside the parameters of a behaviour a scenario takes ``times``, ``call``, ``probability`` and
    ``seed``, which count the requests that carry the same header.
    """
    from fake_server.scenarios.behaviours import find

    rules = []
    for name, pairs in parse_header(value):
        behaviour = find(name)
        rule: dict[str, Any] = {"name": name}
        for key, text in pairs:
            if key in behaviour.parameters or key not in IN_HEADERS:
                part, given = rule.setdefault("with", {}), behaviour.read_text(key, text)
            else:
                part = rule if key == "times" else rule.setdefault("when", {})
                given = IN_HEADERS[key].read_text(text)
            if key in part:
                raise ScenarioError(f"{name}: {key} is given twice; give it once")
            part[key] = given
        rules.append(rule)
    return rules


class Always:
    """The rules that always act, by what they exclude and under which conditions: no later rule can
    act where they do.
    """

    def __init__(self, rules: Iterable[Rule] = ()) -> None:
        self._rules: dict[tuple[str, Conditions], tuple[int, Rule]] = {}
        self.add(rules)

    def add(self, rules: Iterable[Rule]) -> None:
        """Add all of ``rules`` or none. Raises ``ScenarioError`` for a rule that can never act
        beside an earlier one.

        Found are those with the same conditions, and those after a rule without conditions.
        """
        added: dict[tuple[str, Conditions], tuple[int, Rule]] = {}
        for number, rule in enumerate(rules, start=1):
            same = rule.conditions.uncounted
            for conditions in (same, Conditions(operation=same.operation), Conditions()):
                key = rule.exclusion, conditions
                if (earlier := self._rules.get(key) or added.get(key)) is not None:
                    raise ScenarioError(
                        f"{_named(*earlier)} and {_named(number, rule)} contradict each other: the "
                        "first always acts where the second could; take one out, or give the first "
                        "times or other conditions",
                        rule.path,
                    )
            if rule.times is None and rule.conditions == same:
                added[rule.exclusion, same] = number, rule
        self._rules.update(added)


class RuleIndex:
    """Finds the rules that may act on a request without asking those for other texts."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        self._by_text: dict[tuple[str, str], list[tuple[int, Rule]]] = {}
        self._others: list[tuple[int, Rule]] = []
        for entry in enumerate(rules):
            key = entry[1].conditions.exact_text
            (self._others if key is None else self._by_text.setdefault(key, [])).append(entry)

    def candidates(self, facts: RequestFacts) -> Iterable[Rule]:
        """Those rules, in their order."""
        found = self._others
        for name in TEXTS if self._by_text else ():
            found = [*found, *self._by_text.get((name, getattr(facts, name)), ())]
        if found is not self._others:
            found.sort(key=itemgetter(0))
        return [rule for _, rule in found]


def _named(number: int, rule: Rule) -> str:
    return f"{rule.behaviour.name} (rule {number if rule.source == 'header' else rule.rule_id})"


class Match(NamedTuple):
    """What acts on one request: the names of the scenarios, and their effects together."""

    names: tuple[str, ...]
    effects: Effects


class RuleBook:
    """The rules of one server. They are replaced as a whole: a request sees all of a change or
    nothing. ``rules`` are those of its file.
    """

    def __init__(self, context: RuleContext, seed: int | None, rules: Field | None = None) -> None:
        self._context = context
        self._number = 0
        self._fixed: tuple[Rule, ...] = ()
        if rules is not None:
            self._fixed = tuple(self._read(field, "file") for field in rules.entries(_RULES))
            Always(self._fixed)
        self._added: tuple[Rule, ...] = ()
        self._always = Always()
        """Those of the added rules."""
        self._index: RuleIndex | None = None
        self._by_header: BoundedDict[bytes, list[Rule]] = BoundedDict(_MAX_HEADERS)
        self._seed = _seed(seed)
        self.empty = not self._fixed
        self._sources: dict[str, object] = {}
        """The added rules as they were given, by their ids."""
        self.count: Count | None = None
        """Counts where several servers do; None: this one counts alone."""
        self.note: Callable[[str, int], None] = lambda rule_id, matched: None
        """Called where several servers count, with what a rule has matched."""
        self.changes = 0
        """How often rules were added or taken away."""

    def add(self, rules: object) -> list[Rule]:
        """Add one rule or a list of them, all or none. Raises ``ScenarioError``."""
        field, number = rule_field(rules), self._number
        try:
            entries = field.entries(_RULES) if isinstance(rules, list) else (field,)
            added = [self._read(entry, "admin") for entry in entries]
            self._always.add(added)
        except ScenarioError:
            self._number = number
            raise
        sources = rules if isinstance(rules, list) else [rules]
        self._sources |= {rule.rule_id: one for rule, one in zip(added, sources, strict=True)}
        self._replace_added((*self._added, *added), self._always)
        return added

    def snapshot(self) -> dict[str, object]:
        """The added rules, to be restored by another server."""
        sources = [[rule.rule_id, self._sources[rule.rule_id]] for rule in self._added]
        return {"number": self._number, "rules": sources}

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Have the rules of a ``snapshot``, and no other added ones."""
        self.clear()
        for rule_id, source in snapshot["rules"]:
            self._number = int(rule_id) - 1
            self.add(source)
        self._number = snapshot["number"]

    def remove(self, rule_id: str) -> bool:
        """Take one added rule away; False where there is none of that id."""
        left = tuple(rule for rule in self._added if rule.rule_id != rule_id)
        found = len(left) < len(self._added)
        self._replace_added(left, Always(left))
        return found

    def clear(self) -> None:
        """Take every added rule away; those of the file stay."""
        self._replace_added((), Always())

    def reset(self, seed: int | None) -> None:
        """Restore the start: the rules of the file, nothing counted, and ``seed``."""
        self.clear()
        self._by_header.clear()
        self._number = len(self._fixed)
        for rule in self._fixed:
            rule.reset()
        self._seed = _seed(seed)

    def to_json(self) -> list[dict[str, object]]:
        """Every rule, in the order in which they act."""
        return [rule.to_json() for rule in (*self._added, *self._fixed)]

    def match(self, facts: RequestFacts, header: bytes | None) -> Match | None:
        """What acts on this request; None where nothing does.

        Raises ``ScenarioError`` for its ``header``.
        """
        found: list[Rule] = []
        excluded: set[str] = set()
        for rule in self._candidates(facts, header):
            if rule.takes(facts, excluded, self._seed):
                found.append(rule)
                excluded.add(rule.exclusion)
        return _match(found)

    async def match_once(self, facts: RequestFacts, header: bytes | None) -> Match | None:
        """The same where several servers count together. Raises ``LogError``, too."""
        if self.count is None:
            return self.match(facts, header)
        found: list[Rule] = []
        excluded: set[str] = set()
        for rule in self._candidates(facts, header):
            if await rule.takes_once(facts, excluded, self._seed, self.count):
                found.append(rule)
                excluded.add(rule.exclusion)
                if rule.source != "header":
                    self.note(rule.rule_id, rule.matched)
        return _match(found)

    def noted(self, rule_id: str, matched: int) -> None:
        """Another server's rule has matched."""
        for rule in (*self._added, *self._fixed):
            if rule.rule_id == rule_id:
                limited = rule.times is not None
                rule.matched = max(rule.matched, matched) if limited else rule.matched + 1

    def _candidates(self, facts: RequestFacts, header: bytes | None) -> Iterable[Rule]:
        if self._index is None:
            self._index = RuleIndex((*self._added, *self._fixed))
        of_header = self._header_rules(header) if header else ()
        return (*of_header, *self._index.candidates(facts))

    def _header_rules(self, header: bytes) -> list[Rule]:
        known = self._by_header.get(header)
        if known is None:
            known = [
                read_rule(rule_field(rule), f"{header!r}|{index}", "header", self._context)
                for index, rule in enumerate(read_header(header))
            ]
            Always(known)
            self._by_header[header] = known
        return known

    def _replace_added(self, rules: tuple[Rule, ...], always: Always) -> None:
        self._added, self._always, self._index = rules, always, None
        self.changes += 1
        self.empty = not (rules or self._fixed)

    def _read(self, field: Field, source: str) -> Rule:
        self._number += 1
        return read_rule(field, str(self._number), source, self._context)


def _match(rules: Sequence[Rule]) -> Match | None:
    if not rules:
        return None
    effects = NO_EFFECTS
    for rule in rules:
        effects += rule.effects
    return Match(tuple([rule.behaviour.name for rule in rules]), effects)


def _seed(seed: int | None) -> int:
    return random.SystemRandom().getrandbits(64) if seed is None else seed


SCHEMA = Path(__file__).parent.parent / "data" / "scenarios.schema.json"
"""The result of ``schema`` for the bundled spec."""

_TOP = "scenarios"
_RULES = "a list of rules, such as - name: slow"


def load_rule_book(path: Path | None, context: RuleContext, seed: int | None) -> RuleBook:
    """The rule book that begins with the rules of the file at ``path``.

    Raises ``dify_wire.spec.SpecError`` with the line.
    """
    if path is None:
        return RuleBook(context, seed)
    raw = load_yaml(path)
    with file_errors(path, "a file of scenarios"):
        try:
            return RuleBook(context, seed, rule_field(raw).only(_TOP)[_TOP])
        except ScenarioError as error:
            keys = re.findall(r"[^.\[\]]+", error.path)
            place = [int(key) if key.isdigit() else key for key in keys]
            line = line_of(path, place)
            raise SpecError(path, f"line {line}, {error.path}", error.message) from None


def schema(operations: tuple[str, ...]) -> Mapping[str, Any]:
    """The JSON Schema of such a file, for editors."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Scenarios of fake-server",
        "type": "object",
        "additionalProperties": False,
        "required": [_TOP],
        "properties": {
            _TOP: {
                "type": "array",
                "items": {"oneOf": [_rule(one) for one in behaviours().values()]},
            }
        },
        "$defs": {
            _when(one): conditions_schema(tuple(filter(one.acts_on, operations)))
            for one in behaviours().values()
        },
    }


def _rule(behaviour: Behaviour) -> Mapping[str, Any]:
    properties = {name: parameter.schema for name, parameter in behaviour.parameters.items()}
    return {
        "type": "object",
        "description": behaviour.doc.partition("\n\n")[0],
        "additionalProperties": False,
        "required": ["name"],
        "properties": {
            "name": {"const": behaviour.name},
            "with": {"type": "object", "additionalProperties": False, "properties": properties},
            "when": {"$ref": f"#/$defs/{_when(behaviour)}"},
            "times": TIMES.schema,
        },
    }


def _when(behaviour: Behaviour) -> str:
    return f"when_{behaviour.scope.name.lower()}"
