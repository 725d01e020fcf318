"""The rule book of a server: all its rules, and what they bring upon a request.

Of the rules that a request satisfies, those of its own header come first, then those that were
added while the server runs, then those of its file. Each brings its behaviour upon the request; one
whose behaviour cannot act beside an earlier one stays out of it. A rule with ``times`` is used up
after so many requests, and makes room for a later one.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from fake_server.bounded import BoundedDict
from fake_server.scenarios.conditions import Asked
from fake_server.scenarios.effects import NO_EFFECTS, Effects
from fake_server.scenarios.errors import ScenarioError
from fake_server.scenarios.rules import Rule, Surroundings, check_together, rule_of

_REMEMBERED_HEADERS = 1_000


@dataclass(frozen=True, slots=True)
class Match:
    """What befalls one request: the names of the scenarios, and what they do together."""

    names: tuple[str, ...]
    effects: Effects


class RuleIndex:
    """Rules in their order, each found by one text that it wants exactly so, if there is one.

    Most requests concern few rules, and a request that concerns none shall not pay for how many
    there are.
    """

    def __init__(self, rules: Iterable[Rule]) -> None:
        self._by_text: defaultdict[tuple[str, str], list[tuple[int, Rule]]] = defaultdict(list)
        self._others: list[tuple[int, Rule]] = []
        for entry in enumerate(rules):
            exact = entry[1].conditions.exact
            (self._by_text[exact[0]] if exact else self._others).append(entry)

    def concerning(self, asked: Asked) -> list[Rule]:
        """The rules that this request may satisfy, in their order."""
        found = list(self._others)
        if self._by_text:
            for text in asked.texts:
                found += self._by_text.get(text, ())
            found.sort(key=lambda entry: entry[0])
        return [rule for _, rule in found]


class RuleBook:
    """The rules of one server. They are replaced whole, so that a request sees all of a change or
    nothing.
    """

    def __init__(
        self, around: Surroundings, seed: int | None, rules: Iterable[Mapping[str, object]] = ()
    ) -> None:
        self._around = around
        self._seed = 0
        self._number = 0
        self._fixed: tuple[Rule, ...] = tuple(self._made(rules, "file"))
        self._added: tuple[Rule, ...] = ()
        self._index = RuleIndex(self._fixed)
        self._of_headers: BoundedDict[bytes, list[Rule]] = BoundedDict(_REMEMBERED_HEADERS)
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
        self._now_added(*self._added, *rules)
        return rules

    def remove(self, rule_id: str) -> bool:
        """Take one added rule away; False where there is none of that id."""
        left = tuple(rule for rule in self._added if rule.rule_id != rule_id)
        found = len(left) < len(self._added)
        self._now_added(*left)
        return found

    def clear(self) -> None:
        """Take every added rule away; those of the file stay."""
        self._now_added()

    def reset(self, seed: int | None) -> None:
        """As at the start: only the rules of the file, nothing counted, and ``seed`` decides over
        probabilities.
        """
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
        """What befalls this request; None where nothing does. Raises ``ScenarioError`` for its
        ``header``.
        """
        chosen: list[Rule] = []
        taken: set[str] = set()
        for rule in (
            *(self._header_rules(header) if header else ()),
            *self._index.concerning(asked),
        ):
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
        return known

    def _made(self, said: Iterable[object], source: str) -> list[Rule]:
        rules = []
        for index, one in enumerate(said):
            try:
                rules.append(self._rule(one, source))
            except ScenarioError as error:
                raise error.within(index) from None
        return rules

    def _now_added(self, *rules: Rule) -> None:
        self._added = rules
        self._index = RuleIndex((*rules, *self._fixed))

    def _rule(self, said: object, source: str) -> Rule:
        self._number += 1
        return rule_of(said, str(self._number), source, self._around)

    def _reseed(self, seed: int | None) -> None:
        self._seed = random.SystemRandom().getrandbits(64) if seed is None else seed
