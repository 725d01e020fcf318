"""What a behaviour can be told: the same whether a header, a file or a call says it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fake_server.scenarios import ScenarioError
from fake_server.scenarios.behaviour import Behaviour, catalogue
from fake_server.scenarios.parameters import Parameter
from tests.scenarios.books import book, mistake


def _all() -> Iterator[tuple[Behaviour, Parameter]]:
    for behaviour in catalogue().values():
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


@pytest.mark.parametrize(("behaviour", "parameter"), ALL, ids=IDS)
def test_a_wrong_value_is_refused_with_what_is_needed(
    behaviour: Behaviour, parameter: Parameter
) -> None:
    for value in _WRONG[parameter.kind]:
        message = mistake({"name": behaviour.name, "with": {parameter.name: value}})
        assert message.startswith(f"with.{parameter.name}: ")
        assert "needed" in message


@pytest.mark.parametrize(("behaviour", "parameter"), ALL, ids=IDS)
def test_a_wrong_text_of_a_header_is_refused_with_what_is_needed(
    behaviour: Behaviour, parameter: Parameter
) -> None:
    for text in _WRONG_TEXT[parameter.kind]:
        with pytest.raises(ScenarioError, match=parameter.name) as refused:
            behaviour.read_text(parameter.name, text)
        assert "needed" in str(refused.value)


@pytest.mark.parametrize(("behaviour", "parameter"), ALL, ids=IDS)
def test_a_default_is_a_value_itself(behaviour: Behaviour, parameter: Parameter) -> None:
    """Saying what would be so anyway changes nothing; None says that there is none."""
    if parameter.default is not None:
        assert parameter.read(parameter.default) == parameter.default
        text = str(parameter.default).lower() if parameter.kind is bool else str(parameter.default)
        assert parameter.read_text(text) == parameter.default


@pytest.mark.parametrize(("behaviour", "parameter"), ALL, ids=IDS)
def test_bounds_belong_to_what_can_be_said(behaviour: Behaviour, parameter: Parameter) -> None:
    if parameter.bounds is None:
        assert parameter.kind in (str, bool)
        return
    for value in (parameter.bounds.least, parameter.bounds.greatest):
        assert parameter.read(parameter.kind(value)) == value
    assert str(parameter.bounds) in parameter.needed


@pytest.mark.parametrize(
    ("behaviour", "parameter"),
    [(one, two) for one, two in ALL if two.choices],
    ids=lambda one: one.name,
)
def test_a_choice_that_is_nearly_right_is_told_the_right_one(
    behaviour: Behaviour, parameter: Parameter
) -> None:
    assert parameter.choices
    right = max(parameter.choices, key=len)
    message = mistake({"name": behaviour.name, "with": {parameter.name: right + "x"}})
    assert f"(did you mean {right!r}?); there are: {', '.join(parameter.choices)}" in message


@given(st.floats(0, 1e9))
def test_seconds_are_the_same_by_header_and_by_file(seconds: float) -> None:
    slow = catalogue()["slow"]
    assert (
        slow.read_text("seconds", repr(seconds))
        == slow.read({"seconds": seconds})["seconds"]
        == seconds
    )


@given(st.integers(1, 1_000_000))
def test_a_whole_number_will_do_for_seconds(seconds: int) -> None:
    assert type(catalogue()["slow"].read({"seconds": seconds})["seconds"]) is float


@pytest.mark.parametrize(("behaviour", "parameter"), ALL, ids=IDS)
def test_the_schema_says_what_is_read(behaviour: Behaviour, parameter: Parameter) -> None:
    types = {"string": str, "boolean": bool, "integer": int, "number": float}
    schema = parameter.schema
    assert types[schema["type"]] is parameter.kind
    assert schema.get("default") == parameter.default
    assert schema.get("enum", []) == list(parameter.choices or ())
    if parameter.bounds:
        assert (schema["minimum"], schema["maximum"]) == (
            parameter.bounds.least,
            parameter.bounds.greatest,
        )


def test_what_is_said_is_shown_again() -> None:
    rules = book({"name": "http_error", "with": {"status": 503, "body": "html"}})
    assert rules.shown()[0]["with"] == {"status": 503, "body": "html"}
