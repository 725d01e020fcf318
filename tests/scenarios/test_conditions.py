"""What a rule can ask of a request."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fake_server.scenarios.conditions import NAMES, Asked, asked_of, read_text_condition
from tests.scenarios.books import RUN, book, mistake, names

CASES: list[tuple[dict[str, Any], Asked, Asked]] = [
    ({"operation": "runWorkflow"}, RUN, Asked("getToolFile", {})),
    ({"prompt": "a cat"}, RUN, replace(RUN, prompt="a cat!")),
    ({"prompt": {"contains": "cat"}}, RUN, replace(RUN, prompt="a dog")),
    ({"prompt": {"matches": "^a .at$"}}, RUN, replace(RUN, prompt="a catfish")),
    ({"model": "dosmix_"}, RUN, replace(RUN, model="")),
    ({"model": {"contains": "mix"}}, RUN, replace(RUN, model="x")),
    ({"user": {"matches": "[0-9]+"}}, RUN, replace(RUN, user="nobody")),
    ({"mode": "blocking"}, RUN, replace(RUN, mode="streaming")),
    ({"header": {"User-Agent": "tests"}}, RUN, replace(RUN, headers={b"user-agent": b"curl"})),
    ({"header": {"user-agent": {"contains": "es"}}}, RUN, replace(RUN, headers={})),
    ({"user": "alg123", "mode": "blocking"}, RUN, replace(RUN, mode="streaming")),
]


@pytest.mark.parametrize(("when", "taken", "left"), CASES)
def test_a_condition_takes_some_requests_and_leaves_others(
    when: dict[str, Any], taken: Asked, left: Asked
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
    ("body", "asked"),
    [
        ({}, Asked("run", {}, mode="blocking")),
        ({"inputs": {"prompt": "x", "model_name": "m"}, "user": "u", "response_mode": "streaming"},
         Asked("run", {}, "x", "m", "u", "streaming")),
        ({"inputs": 5, "user": 7, "response_mode": None}, Asked("run", {}, user="7", mode="None")),
        ({"inputs": {"prompt": ["a"], "model_name": None}, "user": None}, Asked("run", {}, "['a']", mode="blocking")),
    ],
)  # fmt: skip
def test_a_request_is_read_as_far_as_it_can_be(body: dict[str, Any], asked: Asked) -> None:
    assert asked_of("run", {}, body) == asked


_leaf = st.none() | st.booleans() | st.floats() | st.text(max_size=5)
_value = (
    _leaf
    | st.lists(_leaf, max_size=2)
    | st.dictionaries(st.sampled_from(["prompt", "model_name"]), _leaf)
)


@given(st.dictionaries(st.sampled_from(["inputs", "user", "response_mode", "files"]), _value))
def test_no_body_is_refused_here(body: dict[str, Any]) -> None:
    asked_of("run", {}, body)


@given(st.text("ab", max_size=3), st.text("ab", max_size=3), st.text("ab", max_size=5))
def test_what_covers_another_condition_holds_wherever_that_does(
    one: str, other: str, text: str
) -> None:
    said = [
        one,
        {"contains": one},
        {"matches": one},
        other,
        {"contains": other},
        {"matches": other},
    ]
    conditions = [read_text_condition(value) for value in said]
    for first in conditions:
        for second in conditions:
            if first.covers(second) and second.holds(text):
                assert first.holds(text)


@pytest.mark.parametrize(
    ("when", "message"),
    [
        (
            {"promt": "x"},
            "when.promt: 'promt' is no condition (did you mean 'prompt'?); there are: operation, prompt",
        ),
        ({1: "x"}, "when[1]: 1 is no condition; there are: operation"),
        (
            {"operation": "runWorkflo"},
            "when.operation: 'runWorkflo' is no value of operation (did you mean 'runWorkf",
        ),
        (
            {"mode": "stream"},
            "when.mode: 'stream' is no value of mode (did you mean 'streaming'?); there are: block",
        ),
        ({"mode": 1}, "when.mode: blocking or streaming is needed, not 1"),
        (
            {"prompt": 5},
            "when.prompt: a text, {contains: text} or {matches: regex} is needed, not 5",
        ),
        ({"prompt": {}}, "when.prompt: either contains or matches is needed"),
        (
            {"prompt": {"contains": "a", "matches": "b"}},
            "when.prompt: either contains or matches is needed",
        ),
        (
            {"user": {"contain": "a"}},
            "when.user.contain: 'contain' is no way to compare a text (did you mean 'contai",
        ),
        (
            {"user": {1: "a"}},
            "when.user[1]: 1 is no way to compare a text; there are: contains, matches",
        ),
        ({"user": {"contains": 1}}, "when.user.contains: a text is needed, not 1"),
        (
            {"model": {"matches": "("}},
            "when.model.matches: this is no regular expression: missing ), unterminated sub",
        ),
        (
            {"model": {"matches": "a{99999999999}"}},
            "when.model.matches: this is no regular expression: the repetition",
        ),
        (
            {"model": {"matches": "(" * 5_000}},
            "when.model.matches: this is no regular expression: maximum recursion",
        ),
        ({"header": "x"}, "when.header: a mapping of names to texts is needed, not 'x'"),
        (
            {"header": {"x-a": 1}},
            "when.header.x-a: a text, {contains: text} or {matches: regex} is needed, not 1",
        ),
        ({"call": 0}, "when.call: a whole number, 1 or more, is needed, not 0"),
        ({"call": True}, "when.call: a whole number, 1 or more, is needed, not True"),
        ({"probability": 2}, "when.probability: a number, 0 to 1, is needed, not 2.0"),
        ({"seed": 0.5}, "when.seed: a whole number is needed, not 0.5"),
    ],
)
def test_a_wrong_condition_is_refused_with_its_mend(when: dict[Any, Any], message: str) -> None:
    assert mistake({"name": "http_error", "when": when}).startswith(message)
