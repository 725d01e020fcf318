"""The Overlay 1.0 applier: JSONPath targets, merging, appending, removing, and refusals that say
what to correct.
"""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dify_wire.overlay import OverlayError, apply_overlay, copied, select

PARAMETERS = [{"name": "x", "in": "query"}, {"name": "y", "in": "query", "deep": {"z": 1}}]
BOOK: dict[str, Any] = {
    "paths": {
        "/a": {"get": {"parameters": PARAMETERS}},
        "/b/{id}.{ext}": {"get": {"deprecated": True}, "post": {"tags": ["t"]}},
    },
    "x-host": {"count": 1, "flag": True, "nothing": None, "it's": {"k": []}},
}


def changed(*actions: dict[str, Any], document: dict[str, Any] | None = None) -> dict[str, Any]:
    made = copied(BOOK if document is None else document)
    apply_overlay(made, {"overlay": "1.0.0", "actions": list(actions)})
    assert isinstance(made, dict)
    return made


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("$", [BOOK]),
        ("$.paths['/a'].get.parameters[0].name", ["x"]),
        ('$.paths["/a"].get.parameters[-1].name', ["y"]),
        ("$.paths['/b/{id}.{ext}'].get.deprecated", [True]),
        ("$.paths.*.get.parameters[*].name", ["x", "y"]),
        ("$.paths.*.*.tags[0]", ["t"]),
        ("$['x-host'].count", [1]),
        (r"$['x-host']['it\'s'].k", [[]]),
        ("$.paths['/a'].get.parameters[?@.name=='y'].deep.z", [1]),
        ("$.paths['/a'].get.parameters[?@.name == \"y\" && @.in == 'query'].name", ["y"]),
        ("$.paths['/a'].get.parameters[?@.name!='y'].name", ["x"]),
        ("$.paths['/a'].get.parameters[?@.deep].name", ["y"]),
        ("$.paths['/a'].get.parameters[?@.deep['z']==1].name", ["y"]),
        ("$.paths.*[?@.deprecated==true].deprecated", [True]),
        ("$..name", ["x", "y"]),
        ("$.paths..[?(@.deep)].deep.z", [1]),
        ("$.paths..['tags'][*]", ["t"]),
        ("$.paths['/a']..parameters..*", [*PARAMETERS, "x", "query", "y", "query", {"z": 1}, 1]),
        ("$.paths.nowhere", []),
        ("$.paths['/a'].get.parameters[2]", []),
        ("$.paths['/a'].get.parameters.name", []),
        ("$['x-host'].count.deeper", []),
    ],
)
def test_a_jsonpath_selects_what_rfc_9535_says(path: str, found: list[Any]) -> None:
    """Names, indexes, wildcards and filters give the nodes in document order; no match is an empty
    list.
    """
    assert [match.value for match in select(BOOK, path)] == found


@pytest.mark.parametrize(
    "path",
    [
        "paths",
        "",
        "$..",
        "$.paths..[0:1]",
        "$.paths[?@.a ||@.b]",
        "$.x-host",
        "$.paths[",
        "$.paths[?@.a<1]",
        "$ .paths",
        "$.paths[1:2]",
    ],
)
def test_a_jsonpath_that_is_not_understood_is_refused(path: str) -> None:
    """What the subset lacks is an error, never an empty result."""
    with pytest.raises(ValueError, match=r"not understood|begins with"):
        select(BOOK, path)


def test_a_filter_does_not_take_true_for_one() -> None:
    """JSON's true and 1 are different values."""
    data = {"list": [{"a": True, "n": "true"}, {"a": 1, "n": "one"}]}
    assert [match.value for match in select(data, "$.list[?@.a==1].n")] == ["one"]
    assert [match.value for match in select(data, "$.list[?@.a==true].n")] == ["true"]


def test_update_merges_objects_recursively() -> None:
    """New properties are added, primitives replaced, objects merged, arrays within concatenated;
    the rest stays.
    """
    made = changed(
        {"target": "$", "update": {"x-host": {"count": 2, "it's": {"k": [1]}, "new": {"a": 1}}}}
    )
    assert made["x-host"] == {
        "count": 2,
        "flag": True,
        "nothing": None,
        "it's": {"k": [1]},
        "new": {"a": 1},
    }
    assert made["paths"] == BOOK["paths"]


def test_update_appends_one_entry_to_an_array() -> None:
    """On an array the update is an entry, also when it is an array itself."""
    target = "$.paths['/b/{id}.{ext}'].post.tags"
    made = changed({"target": target, "update": "u"}, {"target": target, "update": ["v"]})
    assert made["paths"]["/b/{id}.{ext}"]["post"]["tags"] == ["t", "u", ["v"]]


def test_remove_takes_out_every_match() -> None:
    """All entries that match go, whatever their indexes become meanwhile; remove wins over
    update.
    """
    target = "$.paths['/a'].get.parameters[?@.in=='query']"
    made = changed({"target": target, "remove": True, "update": {"in": "path"}})
    assert made["paths"]["/a"]["get"]["parameters"] == []


def test_remove_at_every_depth() -> None:
    """A match within another match goes too, whatever the order."""
    tree = {"a": {"x": {"x": {}}, "l": [{"x": []}, {"x": {}}]}}
    assert changed({"target": "$..x", "remove": True}, document=tree) == {"a": {"l": [{}, {}]}}


def test_a_removed_part_can_be_added_again() -> None:
    """Actions see what the earlier ones left: so an array, or a key's whole value, is replaced."""
    made = changed(
        {"target": "$.paths['/b/{id}.{ext}'].post.tags", "remove": True},
        {"target": "$.paths['/b/{id}.{ext}'].post", "update": {"tags": ["new"]}},
    )
    assert made["paths"]["/b/{id}.{ext}"]["post"]["tags"] == ["new"]


def test_one_update_at_several_places_is_not_shared() -> None:
    """A later change at one place does not show at the other, nor in the overlay."""
    update = {"x-list": [1]}
    overlay = {
        "overlay": "1.0.0",
        "actions": [
            {"target": "$.paths.*", "update": update},
            {"target": "$.paths['/a']['x-list']", "update": 2},
        ],
    }
    made = copied(BOOK)
    apply_overlay(made, overlay)
    assert [item["x-list"] for item in made["paths"].values()] == [[1, 2], [1]]
    assert update == {"x-list": [1]}


@pytest.mark.parametrize(
    ("action", "says"),
    [
        ({"target": "$.paths.nowhere", "update": {}}, "matches nothing"),
        (
            {"target": "$.paths['/a'].get.parameters[?@.name=='z']", "remove": True},
            "matches nothing",
        ),
        ({"target": "$['x-host'].count", "update": 2}, "primitive"),
        ({"target": "$['x-host'].count", "remove": True}, "primitive"),
        ({"target": "$['x-host'].nothing", "update": {}}, "primitive"),
        ({"target": "$", "remove": True}, "whole document"),
        ({"target": "$.paths", "update": "text"}, "must be an object"),
        ({"target": "$.paths", "update": ["entry"]}, "must be an object"),
        ({"target": "$", "update": {"paths": []}}, "an array cannot be merged into an object"),
        (
            {"target": "$", "update": {"x-host": {"count": {}}}},
            "an object cannot be merged into a primitive",
        ),
        (
            {"target": "$", "update": {"x-host": {"it's": {"k": 1}}}},
            "a primitive cannot be merged into an array",
        ),
        ({"target": "$.paths"}, "needs update, or remove"),
        ({"target": "$.paths", "remove": False}, "needs update, or remove"),
        ({"update": {}}, "a mapping with a target"),
        ({"target": 5, "update": {}}, "a mapping with a target"),
        ({"target": "paths", "update": {}}, "begins with"),
    ],
)
def test_an_action_that_cannot_be_done_names_itself(action: dict[str, Any], says: str) -> None:
    """The error names the action by number and target, and what to correct."""
    with pytest.raises(OverlayError, match=re.escape(says)) as caught:
        changed({"target": "$", "update": {}}, action)
    assert caught.value.place.startswith("actions[1]")
    if isinstance(action.get("target"), str):
        assert action["target"] in caught.value.place


@pytest.mark.parametrize(
    ("overlay", "place"),
    [
        ({}, "overlay"),
        ({"overlay": "2.0.0", "actions": [{}]}, "overlay"),
        ({"overlay": 1.0, "actions": [{}]}, "overlay"),
        ({"overlay": "1.0.0"}, "actions"),
        ({"overlay": "1.0.0", "actions": []}, "actions"),
        ({"overlay": "1.0.0", "actions": {}}, "actions"),
        ({"overlay": "1.0.0", "actions": ["x"]}, "actions[0]"),
    ],
)
def test_what_is_not_an_overlay_is_refused(overlay: dict[str, Any], place: str) -> None:
    """Another version, no actions, or actions that are none."""
    with pytest.raises(OverlayError) as caught:
        apply_overlay({}, overlay)
    assert caught.value.place == place


NAMES = st.sampled_from("abc") | st.text(min_size=1, max_size=6)
SCALARS = st.none() | st.booleans() | st.integers() | st.text(max_size=6)
DATA = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=6,
)
OBJECTS = st.dictionaries(NAMES, DATA, max_size=4)


@settings(max_examples=50)
@given(OBJECTS, OBJECTS)
def test_a_merge_adds_the_update_and_loses_nothing_else(
    document: dict[str, Any], update: dict[str, Any]
) -> None:
    """Rule 3 of the applier, for any two objects whose kinds agree."""
    made = copied(document)
    overlay = {"overlay": "1.0.0", "actions": [{"target": "$", "update": update}]}
    if kinds_agree(document, update):
        apply_overlay(made, overlay)
        assert_merged(document, update, made)
    else:
        with pytest.raises(OverlayError, match="remove it first"):
            apply_overlay(made, overlay)


def kinds_agree(old: Any, new: Any) -> bool:
    if isinstance(old, dict) and isinstance(new, dict):
        return all(kinds_agree(old[key], new[key]) for key in old.keys() & new.keys())
    return [isinstance(old, kind) for kind in (dict, list)] == [
        isinstance(new, kind) for kind in (dict, list)
    ]


def assert_merged(old: dict[str, Any], update: dict[str, Any], made: dict[str, Any]) -> None:
    assert list(made) == [*old, *(key for key in update if key not in old)]
    for key, value in made.items():
        if key not in update:
            assert value == old[key]
        elif key not in old or not isinstance(old[key], dict | list):
            assert value == update[key]
        elif isinstance(value, list):
            assert value == [*old[key], *update[key]]
        else:
            assert_merged(old[key], update[key], value)


@settings(max_examples=40)
@given(OBJECTS, NAMES, st.dictionaries(NAMES, DATA, max_size=2))
def test_any_name_can_be_targeted_in_quotes(
    document: dict[str, Any], name: str, value: dict[str, Any]
) -> None:
    """A quoted name reaches its key whatever characters it holds, and removing it undoes adding
    it.
    """
    before = {key: child for key, child in document.items() if key != name}
    made = copied(before)
    quoted = name.replace("\\", "\\\\").replace("'", "\\'")
    target = f"$['{quoted}']"
    add = {"target": "$", "update": {name: value}}
    remove = {"target": target, "remove": True}
    apply_overlay(made, {"overlay": "1.0.0", "actions": [add]})
    assert [match.value for match in select(made, target)] == [value]
    apply_overlay(made, {"overlay": "1.0.0", "actions": [remove]})
    assert made == before


@given(DATA)
def test_a_copy_is_equal_and_shares_nothing(value: Any) -> None:
    """The quick copy is a deep copy."""
    made = copied(value)
    assert made == value
    assert not {id(part) for part in containers(made)} & {id(part) for part in containers(value)}


def containers(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [value, *(part for child in value.values() for part in containers(child))]
    return (
        [value, *(part for child in value for part in containers(child))]
        if isinstance(value, list)
        else []
    )
