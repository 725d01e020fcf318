"""Any YAML or JSON file ends in its data or in one line, within bounds of time and memory."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dify_wire.text_file import FILE_BYTES, SpecError
from dify_wire.yaml_file import NESTING, VALUES, line_of, load_yaml


def _merge_bomb() -> str:
    bomb = "{k: 1}"
    for level in range(9):
        bomb = f"{{<<: [&a{level} {bomb}{f', *a{level}' * 9}]}}"
    return f"a: {bomb}"


def _merge_chain(links: int) -> str:
    """Each mapping merges the one before it: together they have half a square of keys."""
    first = "- &a0 {k0: 1}\n"
    return (
        "a:\n" + first + "".join(f"- &a{n} {{<<: *a{n - 1}, k{n}: 1}}\n" for n in range(1, links))
    )


REFUSED = {
    "an empty whole number": ("a: !!int ''", "not a whole number"),
    "a word as true or false": ("a: !!bool x", "not true or false"),
    "a word as a number": ("a: !!float x", "not a number"),
    "a date by its tag": ("a: !!timestamp x\nb: !!binary aa", "!!binary|binary"),
    "a set": ("a: !!set {x, y}", "set"),
    "a very long sexagesimal number": (f"a: {'1:' * 50_000}1.5", "a number is not that long"),
    "a sexagesimal number beyond any float": (f"a: {'1:' * 500}1.5", "not a number"),
    "a key twice in JSON": ('{"a": 1, "a": 2}', "'a' is here twice"),
    "a merge of itself": ("a: &a {<<: *a}", "holds itself"),
    "a merge of a text": ("a: {<<: b}", "takes a mapping"),
    "a merge of too many keys": (_merge_chain(1_000), f"more than {VALUES} values"),
    "nested too deep": (
        f"a: {'[' * (NESTING + 1)}{']' * (NESTING + 1)}",
        f"more than {NESTING} levels",
    ),
    "JSON nested 100,000 deep": (
        '{"a": ' + "[" * 100_000 + "]" * 100_000 + "}",
        f"more than {NESTING} levels",
    ),
    "half of a surrogate pair": (r'{"a": "\ud83e"}', "surrogate"),
    "half of a surrogate pair in a key": (r'{"\udd16": 1}', "surrogate"),
    "no JSON constant": ('{"a": [1, NaN, }', "line 1"),
    "a NUL": ("a: \0", "line 1|special characters"),
    "too many values": ("a:\n" + "- 1\n" * (2 * VALUES + 1), f"more than {VALUES} values"),
}


@pytest.mark.slow
@pytest.mark.parametrize(("text", "message"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_used_is_one_line(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "file.yml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SpecError, match=message) as error:
        load_yaml(path)
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)


TAKEN = {
    "merge keys, the first of two counts": (
        "a: &a {x: 1, y: 2}\nb: {<<: [*a, {x: 9, z: 3}], y: 5}",
        "b",
    ),
    "a merge bomb that comes to little": (_merge_bomb(), "a"),
}


@pytest.mark.parametrize(("text", "key"), TAKEN.values(), ids=TAKEN)
def test_merge_keys_are_merged(text: str, key: str, tmp_path: Path) -> None:
    path = tmp_path / "file.yml"
    path.write_text(text)
    data = load_yaml(path)
    assert isinstance(data, dict)
    assert data[key] in ({"x": 1, "y": 5, "z": 3}, {"k": 1})


@pytest.mark.parametrize("text", ["0x" + "F" * 5_000, "1" + "0" * 400, "-" + "9" * 400])
def test_a_number_beyond_any_float_is_infinite(text: str, tmp_path: Path) -> None:
    path = tmp_path / "file.yml"
    path.write_text(f"a: {text}")
    assert load_yaml(path) == {"a": -math.inf if text.startswith("-") else math.inf}


json_texts = st.text(st.characters(exclude_categories=["Cs"]))
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | json_texts,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(json_texts, inner, max_size=5),
)


@settings(max_examples=40)
@given(
    data=st.dictionaries(json_texts, json_values, max_size=5),
    ascii_only=st.booleans(),
    indent=st.sampled_from([None, "\t", 2]),
)
def test_whatever_json_writes_is_read(
    data: dict[str, object],
    ascii_only: bool,
    indent: str | int | None,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    path = tmp_path_factory.getbasetemp() / f"data-{os.getpid()}.json"
    path.write_text(json.dumps(data, ensure_ascii=ascii_only, indent=indent), encoding="utf-8")
    assert load_yaml(path) == data


def test_places_in_json_with_escapes_and_tabs_have_their_line(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    path.write_text(json.dumps({"a": "🤖", "b": [{"c": 1}]}, indent="\t"))
    assert line_of(path, ["b", 0, "c"]) == 5


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with pytest.raises(SpecError, match="it is a pipe"):
        load_yaml(path)


def test_an_endless_device_is_read_to_a_bound() -> None:
    with pytest.raises(SpecError, match="larger than 16 MiB"):
        load_yaml(Path("/dev/zero"))


@pytest.mark.parametrize("name", ["", "missing.yml", "a\0b", "x" * 5_000])
def test_no_file_is_one_line(name: str, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="it cannot be read"):
        load_yaml(tmp_path / name)


@pytest.mark.parametrize(("more", "readable"), [(0, True), (1, False)])
def test_the_bound_of_a_file_is_its_size_in_bytes(
    more: int, readable: bool, tmp_path: Path
) -> None:
    path = tmp_path / "file.yml"
    path.write_bytes(b"a: 1 #".ljust(FILE_BYTES + more, b"x"))
    if readable:
        assert load_yaml(path) == {"a": 1}
    else:
        with pytest.raises(SpecError, match="larger than"):
            load_yaml(path)


def test_a_folder_is_not_a_file(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="is a directory"):
        load_yaml(tmp_path)


def test_a_binary_file_is_not_text(tmp_path: Path) -> None:
    """The error names the byte where UTF-8 ends."""
    path = tmp_path / "image.yaml"
    path.write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(SpecError, match="not UTF-8") as caught:
        load_yaml(path)
    assert caught.value.place == "byte 0"


@pytest.mark.parametrize(
    ("text", "place", "says"),
    [
        ("openapi: 3.2.0\npaths: [\n", "line 3, column 1", "did not find"),
        ("openapi: 3.2.0\n\tpaths: {}\n", "line 2, column 1", "tab|token"),
        ("openapi: 3.2.0\ninfo: a: b\n", "line 2, column 8", "mapping values are not allowed"),
        ("a: 1\nb: 2\na: 3\n", "line 3, column 1", "'a' is here twice"),
        ("a:\n  200: x\n  '200': y\n", "line 3, column 3", "'200' is here twice"),
        ("a: {b: 1, c: 2, b: 3}\n", "line 1, column 17", "'b' is here twice"),
        ("a: &x [*x]\n", "line 1, column 4", "holds itself"),
        ("a: *x\n", "line 1, column 4", "undefined alias"),
        ("? [a]\n: b\n", "line 1, column 3", "a key must be"),
        ("a: !!python/name:os.system x\n", "line 1, column 4", "has no place in JSON"),
        ("a: !!binary aGk=\n", "line 1, column 4", "has no place in JSON"),
        ("- a\n", "line 1, column 1", "a mapping is needed"),
        ("text\n", "line 1, column 1", "a mapping is needed"),
        ("", "line 1, column 1", "a mapping is needed"),
        ("a: 1\n---\nb: 2\n", "line 2, column 1", "another document"),
        ("a: \x01\n", "line 1, column 1", "not YAML"),
    ],
)
def test_bad_yaml_is_refused_with_its_place(
    tmp_path: Path, text: str, place: str, says: str
) -> None:
    """The place of what is not YAML, not a mapping, or a key twice is named."""
    path = tmp_path / "bad.yaml"
    path.write_text(text, "utf-8")
    with pytest.raises(SpecError, match=says) as caught:
        load_yaml(path)
    assert caught.value.place == place
    assert str(caught.value).startswith(f"{path}: {place}: ")
    assert "\n" not in str(caught.value)


def test_yaml_becomes_json_data(tmp_path: Path) -> None:
    """Keys are text as written, dates stay text, an anchor's uses are separate, a byte order mark
    is no matter.
    """
    path = tmp_path / "good.yaml"
    path.write_text(
        "\ufeffon: yes\n200: {a: 1, b: 1.5, c: ~}\nday: 2024-04-24\n"
        "one: &x {k: [1]}\ntwo: *x\nthree: {<<: *x, z: 2}\n",
        "utf-8",
    )
    value = load_yaml(path)
    assert value == {
        "on": True,
        "200": {"a": 1, "b": 1.5, "c": None},
        "day": "2024-04-24",
        "one": {"k": [1]},
        "two": {"k": [1]},
        "three": {"k": [1], "z": 2},
    }
    assert isinstance(value, dict)
    assert value["one"] is not value["two"]


@pytest.mark.parametrize("text", ["[" * 30_000, "{a: " * 30_000, "- " * 30_000, "[\n" * 30_000])
def test_absurd_nesting_is_refused_before_it_overflows_the_stack(tmp_path: Path, text: str) -> None:
    """libyaml would take the process down with it."""
    path = tmp_path / "deep.yaml"
    path.write_text(text)
    with pytest.raises(SpecError, match="nested more than 200 levels deep; flatten it"):
        load_yaml(path)


def test_anchors_that_unfold_to_too_much_are_refused(tmp_path: Path) -> None:
    """Ten levels of nine aliases are three and a half billion values."""
    lines = [
        "a0: &a0 [x]",
        *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 11)),
    ]
    path = tmp_path / "bomb.yaml"
    path.write_text("\n".join(lines))
    with pytest.raises(SpecError, match="more than 200000 values, with its anchors unfolded"):
        load_yaml(path)
