"""What a rule can ask of a request."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fake_server.scenarios.conditions import NAMES, RequestFacts, facts_of
from tests.each import each
from tests.scenarios.books import RUN, book, error_of, names

CASES: list[tuple[dict[str, Any], RequestFacts, RequestFacts]] = [
    ({"operation": "runWorkflow"}, RUN, RequestFacts("getToolFile", {})),
    ({"prompt": "a cat"}, RUN, RUN._replace(prompt="a cat!")),
    ({"prompt": {"contains": "cat"}}, RUN, RUN._replace(prompt="a dog")),
    ({"prompt": {"matches": "^a .at$"}}, RUN, RUN._replace(prompt="a catfish")),
    ({"model": "dosmix_"}, RUN, RUN._replace(model="")),
    ({"model": {"contains": "mix"}}, RUN, RUN._replace(model="x")),
    ({"user": {"matches": "[0-9]+"}}, RUN, RUN._replace(user="nobody")),
    ({"mode": "blocking"}, RUN, RUN._replace(mode="streaming")),
    ({"header": {"User-Agent": "tests"}}, RUN, RUN._replace(headers={b"user-agent": b"curl"})),
    ({"header": {"user-agent": {"contains": "es"}}}, RUN, RUN._replace(headers={})),
    ({"user": "alg123", "mode": "blocking"}, RUN, RUN._replace(mode="streaming")),
]


@pytest.mark.parametrize(("when", "taken", "left"), CASES)
def test_a_condition_takes_some_requests_and_leaves_others(
    when: dict[str, Any], taken: RequestFacts, left: RequestFacts
) -> None:
    rules = book({"name": "http_error", "when": when})
    assert names(rules, left) == ()
    assert names(rules, taken) == ("http_error",)


def test_every_condition_is_tested() -> None:
    """Those that count are in test_rules."""
    assert {name for when, _, _ in CASES for name in when} == set(NAMES) - {
        "call",
        "probability",
        "seed",
    }


@pytest.mark.parametrize(
    ("body", "facts"),
    [
        ({}, RequestFacts("run", {}, mode="blocking")),
        (
            {
                "inputs": {"prompt": "x", "model_name": "m"},
                "user": "u",
                "response_mode": "streaming",
            },
            RequestFacts("run", {}, "x", "m", "u", "streaming"),
        ),
        (
            {"inputs": 5, "user": 7, "response_mode": None},
            RequestFacts("run", {}, user="7", mode="None"),
        ),
        (
            {"inputs": {"prompt": ["a"], "model_name": None}, "user": None},
            RequestFacts("run", {}, "['a']", mode="blocking"),
        ),
    ],
)
def test_a_request_is_read_as_far_as_it_can_be(body: dict[str, Any], facts: RequestFacts) -> None:
    assert facts_of("run", {}, body) == facts


_leaf = st.none() | st.booleans() | st.floats() | st.text(max_size=5)
_value = (
    _leaf
    | st.lists(_leaf, max_size=2)
    | st.dictionaries(st.sampled_from(["prompt", "model_name"]), _leaf)
)


@given(st.dictionaries(st.sampled_from(["inputs", "user", "response_mode", "files"]), _value))
def test_any_body_is_read(body: dict[str, Any]) -> None:
    facts_of("run", {}, body)


TEXT = "expected a string, {contains: text} or {matches: regex}"


@each(
    ("when", "message"),
    [
        (
            {"promt": "x"},
            "when.promt: 'promt' is not a known condition (did you mean 'prompt'?); known: operat",
        ),
        ({1: "x"}, "when: the key 1 is not a string; put it in quotes"),
        (
            {"operation": "runWorkflo"},
            "when.operation: 'runWorkflo' is not a known operation (did you mean 'runWorkflow'?)",
        ),
        (
            {"mode": "stream"},
            "when.mode: 'stream' is not a known value of mode (did you mean 'streaming'?)",
        ),
        ({"mode": 1}, "when.mode: expected a string, not 1"),
        ({"prompt": 5}, f"when.prompt: {TEXT}"),
        ({"prompt": {}}, f"when.prompt: {TEXT}"),
        ({"prompt": {"contains": "a", "matches": "b"}}, f"when.prompt: {TEXT}"),
        (
            {"user": {"contain": "a"}},
            "when.user.contain: 'contain' is not a known key (did you mean 'contains'?)",
        ),
        ({"user": {"contains": 1}}, "when.user.contains: expected a string, not 1"),
        (
            {"model": {"matches": "("}},
            "when.model.matches: this is not a valid regular expression: missing ), unterminated",
        ),
        (
            {"model": {"matches": "a{99999999999}"}},
            "when.model.matches: this is not a valid regular expression: the repetition",
        ),
        (
            {"model": {"matches": "(" * 5_000}},
            "when.model.matches: this is not a valid regular expression: maximum recursion",
        ),
        ({"header": "x"}, "when.header: expected a mapping of names to values, not 'x'"),
        ({"header": {"x-a": 1}}, f"when.header.x-a: {TEXT}"),
        ({"call": 0}, "when.call: expected a whole number of at least 1, not 0"),
        ({"call": True}, "when.call: expected a whole number of at least 1, not true"),
        ({"probability": 2}, "when.probability: expected a number from 0 to 1, not 2"),
        ({"seed": 0.5}, "when.seed: expected a whole number, not 0.5"),
    ],
)
def test_a_wrong_condition_is_an_error_with_its_correction(
    when: dict[Any, Any], message: str
) -> None:
    assert error_of({"name": "http_error", "when": when}).startswith(message)
