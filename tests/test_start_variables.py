"""What a start variable of each type takes and refuses, on each version."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dify_wire.profile import HOST_VERSIONS
from fake_server.host_spec import HostError, HostSpec
from fake_server.runs.file_sources import FileSources, Owner
from fake_server.runs.input_files import FileFinder
from fake_server.runs.inputs import cleaned_inputs
from fake_server.spec import load_host
from fake_server.workflow.model import StartVariable
from tests.each import each

ALL = HOST_VERSIONS[::-1]
OLD = ("0.6.3", "0.6.4", "0.6.9")
NEW = tuple(version for version in ALL if version not in OLD)
FROM_1_10 = NEW[NEW.index("1.10.1") :]
FROM_1_13 = NEW[NEW.index("1.13.3") :]
CONVERTED = tuple(version for version in NEW if version not in FROM_1_10)
INTERNAL = (
    "The server encountered an internal error and was unable to complete your request. Either the "
    "server is overloaded or there is an error in the application."
)
FILE = {"type": "image", "transfer_method": "local_file", "upload_file_id": "x"}

spec_of = cache(load_host)


def variable(kind: str, **changes: Any) -> StartVariable:
    options = ("a", "b", "C d") if kind == "select" else None
    fields: dict[str, Any] = {
        "name": "v",
        "type": kind,
        "required": False,
        "max_length": 2 if kind == "file-list" else 10,
        "options": options,
        "default": None,
        "entry": {},
        **changes,
    }
    return StartVariable(**fields)


class AnyFile(FileFinder):
    """Finds every file, and shows which."""

    def file(self, variable: StartVariable, file: Mapping[str, Any]) -> Any:
        return ("found", file["upload_file_id"])

    def files(self, variable: StartVariable, files: Sequence[Mapping[str, Any]]) -> list[Any]:
        return [self.file(variable, file) for file in files]


def value_of(spec: HostSpec, declared: StartVariable, inputs: Mapping[str, Any]) -> Any:
    """The value of the variable. Raises ``HostError``."""

    def finder() -> FileFinder:
        return AnyFile(FileSources(), Owner("app", "user"), spec)

    return cleaned_inputs([declared], inputs, finder, spec)["v"]


def cleaned(spec: HostSpec, declared: StartVariable, inputs: Mapping[str, Any]) -> Any:
    """The value of the variable, or the text of the error."""
    try:
        return value_of(spec, declared, inputs)
    except HostError as error:
        return error.body["message"]


REQUIRED = "v is required in input form"
NOT_NUMBER = "v in input form must be a valid number"
NOT_OPTION = "v in input form must be one of the following: ['a', 'b', 'C d']"
NOT_FILE = "v in input form must be a file"
NOT_FILES = "v in input form must be a list of files"
NOT_OBJECT = "v in input form must be a dict"
TOO_LONG = "v in input form must be less than 10 characters"


def not_string(kind: str) -> str:
    return f"(type '{kind}') v in input form must be a string"


CASES: list[tuple[Sequence[str], str, Any, Any]] = [
    (ALL, "text-input", "零一二三四五六七八九", "零一二三四五六七八九"),
    (ALL, "text-input", "x" * 11, TOO_LONG),
    (ALL, "paragraph", "a\x00b", "ab"),
    (ALL, "text-input", " ", " "),
    (OLD, "text-input", None, ""),
    (NEW, "text-input", None, None),
    (NEW, "text-input", "", ""),
    (NEW, "paragraph", 5, not_string("paragraph")),
    (NEW, "text-input", True, not_string("text-input")),
    (NEW, "text-input", ["a"], not_string("text-input")),
    (OLD, "paragraph", 5, "v in input form must be a string"),
    (OLD[:2], "text-input", 0, ""),
    (OLD[2:], "text-input", 0, "v in input form must be a string"),
    (ALL, "select", "C d", "C d"),
    (ALL, "select", "c d", NOT_OPTION),
    (NEW, "select", "", NOT_OPTION),
    (OLD, "select", "", ""),
    (NEW, "select", 1, not_string("select")),
    (OLD, "number", 5, "v in input form must be a string"),
    (OLD, "number", "5", "5"),
    (NEW, "number", 0, 0),
    (NEW, "number", -1.5, -1.5),
    (NEW, "number", 12345678901234567890, 12345678901234567890),
    (NEW, "number", "3", 3),
    (NEW, "number", "3.5", 3.5),
    (NEW, "number", " 4 ", 4),
    (NEW, "number", "", None),
    (NEW, "number", " ", None),
    (NEW, "number", "1e3", NOT_NUMBER),
    (NEW, "number", "abc", NOT_NUMBER),
    (CONVERTED, "number", True, 1),
    (FROM_1_10, "number", True, True),
    (CONVERTED, "number", [1], [1]),
    (FROM_1_10, "number", [1], INTERNAL),
    (CONVERTED, "number", {"a": 1}, "Invalid input type"),
    (FROM_1_10, "number", {"a": 1}, INTERNAL),
    *[(FROM_1_10, "checkbox", word, True) for word in ("true", " YES ", "1", "on", 1, 1.0, True)],
    *[(FROM_1_10, "checkbox", word, False) for word in ("FALSE", "no", "0", "off", 0, False)],
    *[(FROM_1_10, "checkbox", other, other) for other in (2, "maybe", "", [True])],
    (["1.10.1"], "checkbox", {"a": 1}, "Invalid input type"),
    (FROM_1_13, "checkbox", {"a": 1}, "Invalid input type for ['v']"),
    (["1.10.1"], "checkbox", [{"a": 1}], [{"a": 1}]),
    (FROM_1_13, "checkbox", [{"a": 1}], "Invalid input type for ['v']"),
    (FROM_1_13, "json_object", {"a": [{}, None]}, {"a": [{}, None]}),
    (FROM_1_13, "json_object", {}, {}),
    (FROM_1_13, "json_object", [], []),
    (FROM_1_13, "json_object", "", ""),
    *[(FROM_1_13, "json_object", wrong, NOT_OBJECT) for wrong in ('{"a": 1}', 5, True, [1])],
    (NEW, "file", FILE, ("found", "x")),
    *[(NEW, "file", no_file, NOT_FILE) for no_file in ("abc", 5, True, [], [FILE])],
    (FROM_1_13, "file", "", None),
    (["0.15.3", "1.4.3", "1.10.1"], "file", "", NOT_FILE),
    (NEW, "file-list", [FILE, FILE], [("found", "x")] * 2),
    (NEW, "file-list", [], []),
    *[(NEW, "file-list", no_list, NOT_FILES) for no_list in ("abc", FILE, ["x"], [FILE, None])],
    (NEW, "file-list", [FILE] * 3, "v in input form must be less than 2 files"),
    (FROM_1_13, "file-list", "", None),
    (["1.10.1"], "file-list", "", NOT_FILES),
]


@each(
    ("version", "kind", "value", "expected"),
    [(version, *case) for versions, *case in CASES for version in versions],
)
def test_a_value_becomes_what_it_is_on_the_host(
    version: str, kind: str, value: Any, expected: Any
) -> None:
    """FACTS 3 and 9.1, FACTS-1.14.2 3.3; a value of the same type too, as True is not 1."""
    got = cleaned(spec_of(version), variable(kind), {"v": value})
    assert (got, type(got)) == (expected, type(expected))


@each(
    ("version", "kind", "value", "expected"),
    [
        *[(version, "text-input", missing, REQUIRED) for version in ALL for missing in (None, ...)],
        *[(version, kind, None, REQUIRED) for version in NEW for kind in ("number", "file")],
        *[(version, "text-input", "", REQUIRED) for version in OLD],
        *[(version, "text-input", "", "") for version in NEW],
        *[(version, "number", "", None) for version in NEW],
        *[(version, "number", 0, 0) for version in NEW],
        *[(version, "select", "", NOT_OPTION) for version in NEW],
        *[(version, "file", "", NOT_FILE) for version in NEW],
        *[(version, "file-list", "", NOT_FILES) for version in NEW],
        *[(version, "file-list", [], []) for version in NEW],
        *[(version, "checkbox", False, False) for version in FROM_1_10],
        *[(version, "json_object", {}, {}) for version in FROM_1_13],
    ],
)
def test_a_required_variable(version: str, kind: str, value: Any, expected: Any) -> None:
    """Later versions miss only what is null or not there [C: typesreq_*]."""
    inputs = {} if value is ... else {"v": value}
    assert cleaned(spec_of(version), variable(kind, required=True), inputs) == expected


@each(
    ("version", "declared", "expected"),
    [
        *[(version, variable("text-input", default="d"), "d") for version in OLD],
        *[(version, variable("text-input", default="d"), None) for version in CONVERTED],
        *[(version, variable("text-input", default="d"), "d") for version in FROM_1_10],
        *[(version, variable("number", default="7"), 7) for version in FROM_1_10],
        *[(version, variable("checkbox", default="yes"), True) for version in FROM_1_10],
        *[(version, variable("select", default="z"), NOT_OPTION) for version in FROM_1_10],
    ],
    ids=str,
)
def test_a_default(version: str, declared: StartVariable, expected: Any) -> None:
    """It is used as it is, ignored, or checked like a value [C: types_default of 1.4.3, 1.14.2]."""
    assert cleaned(spec_of(version), declared, {}) == expected


@each(
    ("version", "kind"),
    [
        *[(version, "checkbox") for version in ALL if version not in FROM_1_10],
        *[(version, "json_object") for version in ALL if version not in FROM_1_13],
        *[(version, "file") for version in OLD],
        *[(version, "zzz") for version in ALL],
    ],
)
def test_a_type_of_a_later_version_refuses_every_run(version: str, kind: str) -> None:
    """The host cannot read the app (FACTS-1.10.1, 13); the types that it knows are named."""
    spec = spec_of(version)
    text = cleaned(spec, variable(kind), {})
    assert text.startswith("1 validation error for VariableEntity\ntype\n  Input should be 'text-")
    assert f"[type=enum, input_value='{kind}', input_type=str]" in text
    assert all(f"'{known}'" in text for known in spec.request.variable_types)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)
KINDS = st.sampled_from(["text-input", "paragraph", "select", "number", "checkbox", "json_object"])


@pytest.mark.parametrize("version", ALL)
@given(kind=KINDS, value=JSON, required=st.booleans())
def test_any_value_is_taken_or_refused(version: str, kind: str, value: Any, required: bool) -> None:
    """No value makes the check stumble, and a clean one is taken again as it is, but where nothing
    is left of it.
    """
    declared = variable(kind, required=required)
    with contextlib.suppress(HostError):
        clean = value_of(spec_of(version), declared, {"v": value})
        if clean not in (None, ""):
            assert cleaned(spec_of(version), declared, {"v": clean}) == clean


def test_the_documentation_names_every_type_with_its_first_version() -> None:
    """The table in docs/apps.md."""
    text = (Path(__file__).parent.parent / "docs" / "apps.md").read_text("utf-8")
    table = text.partition("## Start variables")[2].partition("\n\nLeft out")[0]
    since = {}
    for row in table.splitlines():
        for kind in re.findall(r"`([a-z_-]+)`", row.split(" | ")[0]):
            since[kind] = row.split(" | ")[1]
    for kind, version in since.items():
        know = [one for one in ALL if kind in spec_of(one).request.variable_types]
        assert know[0] == (ALL[0] if version == "all" else version)
    known = set(spec_of(ALL[-1]).request.variable_types)
    assert since.keys() == known - {"external_data_tool"}  # of other modes
