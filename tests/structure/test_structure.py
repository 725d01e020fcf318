"""What the figures are made of: chains and cycles of imports, words of identifiers, small
functions.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.structure.figures import Figure, source_figures, trace_figures
from tests.structure.graph import largest_knot, longest_chain
from tests.structure.source import (
    ROOT,
    Module,
    long_lines,
    old_words,
    private_attributes,
    small_private_functions,
    words,
)


def _module(text: str) -> Module:
    return Module("made", Path(ROOT / "made.py"), text, ast.parse(text))


def test_the_longest_chain_is_found() -> None:
    assert longest_chain({"a": {"b", "c"}, "b": {"c"}, "c": {"d"}, "e": {"d"}}) == [
        "a",
        "b",
        "c",
        "d",
    ]


def test_the_largest_cycle_is_found() -> None:
    assert largest_knot(
        {"a": {"b"}, "b": {"c"}, "c": {"b", "d"}, "d": {"e"}, "e": {"f"}, "f": {"d"}}
    ) == ["d", "e", "f"]


@pytest.mark.parametrize("identifier", ["told_twice", "ToldTwice", "_TOLD_TWICE"])
def test_identifiers_are_split_into_words(identifier: str) -> None:
    assert [word for word in words(identifier) if word] == ["told", "twice"]


def test_old_words_are_found_in_identifiers_and_not_in_texts() -> None:
    found = list(old_words(_module('def told(a): return "asked"\nheard = told(1).lent')))
    assert found == ["made.py told", "made.py heard", "made.py lent"]


def test_small_functions_of_one_caller_are_found() -> None:
    text = "def _once(): pass\ndef _twice(): pass\ndef public(): _once(); _twice(); _twice()\n"
    assert list(small_private_functions(_module(text), 4)) == ["made.py:1 _once"]


def test_long_lines_and_private_attributes_are_found() -> None:
    assert list(long_lines(_module("x = 1\n" + "#" * 101))) == ["made.py:2"]
    text = "self._own\nother._private\nother.__class__\nother.public"
    assert list(private_attributes(_module(text))) == ["made.py:2 _private"]


def _exceeded(figures: Iterable[Figure]) -> list[str]:
    return [
        f"{one.name}: {one.value}, at most {one.limit}"
        for one in figures
        if one.limit is not None and one.value > one.limit
    ]


@pytest.mark.server
def test_source_is_within_the_limits() -> None:
    """``python -m tests.structure --list`` prints the places."""
    figures = list(source_figures())
    assert _exceeded(figures) == []
    assert {one.name for one in figures if one.limit is None} == {
        "product code, lines",
        "product code, modules",
    }


@pytest.mark.server
def test_one_run_is_within_the_limits() -> None:
    figures = list(trace_figures())
    assert all(one.limit is not None for one in figures)
    assert _exceeded(figures) == []
