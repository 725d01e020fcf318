"""The index of rules passes over none that a request satisfies, and keeps their order."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from fake_server.scenarios.rule_book import RuleIndex
from fake_server.scenarios.rules import rule_of
from tests.scenarios.books import AROUND, RUN

_WORDS = st.sampled_from(["a", "b", "ab"])
_TEXTS = st.one_of(_WORDS, _WORDS.map(lambda word: {"contains": word}))
_WHEN = st.fixed_dictionaries({}, optional={"prompt": _TEXTS, "model": _TEXTS, "user": _TEXTS})


@given(st.lists(_WHEN, max_size=8), _WORDS, _WORDS, _WORDS)
def test_the_index_finds_what_a_search_would_find(
    whens: list[dict[str, object]], prompt: str, model: str, user: str
) -> None:
    asked = replace(RUN, prompt=prompt, model=model, user=user)
    rules = [
        rule_of({"name": "slow", "when": when}, str(n), "file", AROUND)
        for n, when in enumerate(whens)
    ]
    found = [rule for rule in RuleIndex(rules).concerning(asked) if rule.conditions.hold(asked)]
    assert found == [rule for rule in rules if rule.conditions.hold(asked)]


def test_a_request_does_not_meet_the_rules_of_others() -> None:
    """That is what the index is for."""
    rules = [
        rule_of({"name": "slow", "when": {"user": f"user {n}"}}, str(n), "file", AROUND)
        for n in range(30)
    ]
    assert RuleIndex(rules).concerning(replace(RUN, user="nobody")) == []
    assert RuleIndex(rules).concerning(replace(RUN, user="user 7")) == [rules[7]]
