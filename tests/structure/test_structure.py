"""What the figures are made of: chains and cycles of imports, words of identifiers, small
functions.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.structure.figures import source_figures
from tests.structure.graph import largest_knot, longest_chain
from tests.structure.source import ROOT, Module, old_words, small_private_functions, words


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


def test_every_figure_of_the_source_is_a_number() -> None:
    assert all(figure.value > 0 for figure in source_figures())
