"""Parameters of behaviours: the same from a header, a file or a call."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fake_server.scenarios.behaviour import Behaviour
from fake_server.scenarios.behaviours import BEHAVIOURS
from fake_server.scenarios.parameters import Parameter, ScenarioError, rule_field
from tests.each import each
from tests.scenarios.books import book, error_of


def _all() -> Iterator[tuple[Behaviour, Parameter]]:
    for behaviour in BEHAVIOURS.values():
        for parameter in behaviour.parameters.values():
            yield behaviour, parameter


ALL = list(_all())
IDS = [f"{behaviour.name}.{parameter.name}" for behaviour, parameter in ALL]

_WRONG: dict[type, list[object]] = {
    float: ["1", None, True, [], -1, -0.5, 1e10, 10**400, float("nan"), float("inf")],
    int: ["1", None, True, 1.0, -1, 10**400],
    str: [1, None, True, [], "\ud800"],
    bool: ["true", None, 1, 0],
}
_WRONG_TEXT: dict[type, list[str]] = {
    float: ["", "x", "nan", "-1", "1e99", "9" * 500],
    int: ["", "x", "1.5", "-1", "9" * 1_000],
    bool: ["", "yes", "True", "1"],
    str: [],
}


@each(("behaviour", "parameter"), ALL, ids=IDS)
def test_a_wrong_value_is_an_error_with_what_is_expected(
    behaviour: Behaviour, parameter: Parameter
) -> None:
    for value in _WRONG[parameter.kind]:
        message = error_of({"name": behaviour.name, "with": {parameter.name: value}})
        assert message.startswith(f"with.{parameter.name}: ")
        assert "expected" in message or "is not a known value" in message


@each(("behaviour", "parameter"), ALL, ids=IDS)
def test_a_wrong_text_of_a_header_is_an_error_with_what_is_expected(
    behaviour: Behaviour, parameter: Parameter
) -> None:
    for text in _WRONG_TEXT[parameter.kind]:
        with pytest.raises(ScenarioError, match=parameter.name) as caught:
            behaviour.read_text(parameter.name, text)
        assert "expected" in str(caught.value)


@each(("behaviour", "parameter"), ALL, ids=IDS)
def test_a_default_is_a_value_itself(behaviour: Behaviour, parameter: Parameter) -> None:
    """Saying what would be so anyway changes nothing; None says that there is none."""
    if parameter.default is not None:
        assert parameter.read(rule_field(parameter.default)) == parameter.default
        text = str(parameter.default).lower() if parameter.kind is bool else str(parameter.default)
        assert parameter.read_text(text) == parameter.default


@each(("behaviour", "parameter"), ALL, ids=IDS)
def test_bounds_are_accepted_values(behaviour: Behaviour, parameter: Parameter) -> None:
    least, most = parameter.bounds.least, parameter.bounds.most
    if parameter.kind in (str, bool):
        assert (least, most) == (-math.inf, math.inf)
        return
    for value in (least, most):
        assert parameter.read(rule_field(parameter.kind(value))) == value
    assert f" from {least:g} to {most:.15g}" in parameter.expected


@each(
    ("behaviour", "parameter"),
    [(one, two) for one, two in ALL if two.choices],
    ids=lambda one: one.name,
)
def test_the_error_of_a_nearly_right_choice_has_the_right_one(
    behaviour: Behaviour, parameter: Parameter
) -> None:
    assert parameter.choices
    right = max(parameter.choices, key=len)
    message = error_of({"name": behaviour.name, "with": {parameter.name: right + "x"}})
    assert f"(did you mean {right!r}?); known: {', '.join(parameter.choices)}" in message


@given(st.floats(0, 1e9))
def test_seconds_are_the_same_by_header_and_by_file(seconds: float) -> None:
    slow = BEHAVIOURS["slow"]
    assert (
        slow.read_text("seconds", repr(seconds))
        == slow.read(rule_field({"seconds": seconds}))["seconds"]
        == seconds
    )


@given(st.integers(1, 1_000_000))
def test_a_whole_number_will_do_for_seconds(seconds: int) -> None:
    assert type(BEHAVIOURS["slow"].read(rule_field({"seconds": seconds}))["seconds"]) is float


@each(("behaviour", "parameter"), ALL, ids=IDS)
def test_the_schema_says_what_is_read(behaviour: Behaviour, parameter: Parameter) -> None:
    types = {"string": str, "boolean": bool, "integer": int, "number": float}
    schema = parameter.schema
    assert types[schema["type"]] is parameter.kind
    assert schema.get("default") == parameter.default
    assert schema.get("enum", []) == list(parameter.choices or ())
    if parameter.kind in (int, float):
        bounds = (schema["minimum"], schema["maximum"])
        assert bounds == (parameter.bounds.least, parameter.bounds.most)


def test_parameters_are_in_the_json_of_a_rule() -> None:
    rules = book({"name": "http_error", "with": {"status": 503, "body": "html"}})
    assert rules.to_json()[0]["with"] == {"status": 503, "body": "html"}
