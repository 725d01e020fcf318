"""The strict reader: what it returns, and the message and the place of each error."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from dify_wire.strict import Field, bounds, closest, did_you_mean, unknown


class WrongError(Exception):
    """A mistake that the reader found."""


def field(value: Any) -> Field:
    return Field(value, error=lambda path, message: WrongError(f"{path}: {message}"))


DATA = {
    "name": "draw",
    "on": True,
    "count": 3,
    "seconds": 0.5,
    "nothing": None,
    "nodes": [{"id": "a"}, {"id": 7}],
    "tags": ["x", "y"],
}


def test_values_are_returned_as_they_are() -> None:
    data = field(DATA).only(*DATA)
    assert data["name"].text() == "draw"
    assert data["name"].text("[a-z]+", "small letters") == "draw"
    assert data["name"].choice(("draw", "erase")) == "draw"
    assert data["on"].boolean() is True
    assert data["count"].whole(0, 3) == 3
    assert (data["seconds"].number(), data["count"].number()) == (0.5, 3)
    assert data["tags"].texts() == ("x", "y")
    assert next(data["nodes"].entries())["id"].text() == "a"
    assert (data.get("nothing"), data.get("absent")) == (None, None)
    assert ("nothing" in data, "absent" in data) == (True, False)
    assert [key for key, _ in data.items()] == list(DATA)


WRONG: dict[str, tuple[Callable[[Field], object], str]] = {
    "unknown key": (
        lambda data: data.only("name", "note", "count"),
        "on: 'on' is not a known key; known: name, note, count",
    ),
    "misspelt key": (
        lambda data: data.only("nams", "on"),
        "name: 'name' is not a known key (did you mean 'nams'?); known: nams, on",
    ),
    "no keys at all": (
        lambda data: data.only(),
        "name: 'name' is not a known key; none is allowed here",
    ),
    "missing key": (lambda data: data["absent"], "absent: this key is missing; add it"),
    "not a mapping": (
        lambda data: data["tags"].only("x"),
        "tags: expected a mapping of names to values, not a list",
    ),
    "not a list": (lambda data: list(data["name"].entries()), "name: expected a list, not 'draw'"),
    "inside a list": (
        lambda data: [node["id"].text() for node in data["nodes"].entries()],
        "nodes[1].id: expected a string, not 7",
    ),
    "not a string": (lambda data: data["on"].text(), "on: expected a string, not true"),
    "null": (lambda data: data["nothing"].text(), "nothing: expected a string, not null"),
    "another pattern": (
        lambda data: data["name"].text("[A-Z]+", "capitals"),
        "name: expected capitals, not 'draw'",
    ),
    "not a choice": (
        lambda data: data["name"].choice(("drawn", "erased"), "mode"),
        "name: 'draw' is not a known mode (did you mean 'drawn'?); known: drawn, erased",
    ),
    "not a boolean": (lambda data: data["count"].boolean(), "count: expected true or false, not 3"),
    "true is not a number": (
        lambda data: data["on"].whole(),
        "on: expected a whole number, not true",
    ),
    "a fraction": (
        lambda data: data["seconds"].whole(1),
        "seconds: expected a whole number of at least 1, not 0.5",
    ),
    "out of range": (
        lambda data: data["seconds"].number(1, 1e9),
        "seconds: expected a number from 1 to 1000000000, not 0.5",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_errors_name_the_place(case: str) -> None:
    read, message = WRONG[case]
    with pytest.raises(WrongError) as caught:
        read(field(DATA))
    assert str(caught.value) == message


def test_top_level_has_a_name() -> None:
    with pytest.raises(WrongError, match=r"^the top level: expected a mapping .*, not 'text'$"):
        field("text").only("name")


def test_keys_must_be_strings() -> None:
    with pytest.raises(WrongError, match="the key true is not a string"):
        list(field({True: 1}).items())


@pytest.mark.parametrize("value", [math.nan, 10**400, math.inf])
def test_numbers_beyond_the_range_are_refused(value: float) -> None:
    with pytest.raises(WrongError, match="expected a number from 0 to 1"):
        field(value).number(0, 1)


def test_long_values_are_shortened() -> None:
    with pytest.raises(WrongError) as caught:
        field("x" * 10_000).choice(("y",))
    assert len(str(caught.value)) < 200


def test_bounds_in_words() -> None:
    assert bounds(-math.inf, math.inf) == ""
    assert bounds(0, math.inf) == " of at least 0"
    assert bounds(-math.inf, 2.5) == " of at most 2.5"


def test_only_words_that_can_be_compared_soon_are_compared() -> None:
    """80 characters and 500 words."""
    assert "did you mean" in did_you_mean("a" * 80, ["a" * 79])
    assert did_you_mean("a" * 81, ["a" * 80]) == ""
    assert did_you_mean("abcdef", [*["x"] * 499, "abcdeg"]) != ""
    assert did_you_mean("abcdef", [*["x"] * 500, "abcdeg"]) == ""
    assert closest("abcdef", ["abcxyz"]) is None
    assert closest("abcdef", ["abcxyz"], cutoff=0.4) == "abcxyz"
    assert unknown("name", "a", []) == "'a' is not a known name; none is allowed here"
