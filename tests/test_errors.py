"""Refusals: each that the code makes stands in the spec, and each that stands there is made by
something.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from dify_wire.error_text import ErrorText
from dify_wire.profile import HOST_VERSIONS, overlay_paths
from dify_wire.spec import load
from dify_wire.text_file import SpecError, bundled
from fake_server.app import create_app
from fake_server.endpoints import ENDPOINTS, load_all
from fake_server.host_spec import HostErrors, HostSpec
from fake_server.settings import Settings

ROOT = Path(__file__).parent.parent


def error_names(call: ast.Call) -> Iterator[str]:
    """The error names that ``errors("name")`` or ``errors("one" if … else "other")`` may be called
    with.
    """
    first = call.args[0]
    for value in (first.body, first.orelse) if isinstance(first, ast.IfExp) else (first,):
        if isinstance(value, ast.Constant) and isinstance(value.value, str):
            yield value.value


@cache
def made_by_code() -> dict[str, str]:
    """Every error name in the code of the fake, with the module that has it."""
    found = {}
    for path in sorted((ROOT / "fake_server").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if (
                isinstance(node, ast.Call)
                and ast.unparse(node.func).split(".")[-1] == "errors"
                and node.args
            ):
                for name in error_names(node):
                    found[name] = path.name
    return found


@cache
def merged(version: str) -> dict[str, Any]:
    return load(bundled("openapi.yaml"), overlay_paths(version))


def operations(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for item in document["paths"].values():
        yield from (
            error_names
            for error_names in item.values()
            if isinstance(error_names, dict) and "operationId" in error_names
        )


def test_names_in_the_code_are_found() -> None:
    """The tests below would hold for an empty set too."""
    found = made_by_code()
    assert len(found) > 30
    assert {
        "auth_header_missing",
        "input_not_in_options",
        "json_malformed",
        "internal_error",
    } <= found.keys()


def test_every_error_of_the_code_stands_in_the_spec() -> None:
    """A name that is missing there would be a failure of the fake in the middle of a request. What
    only later versions refuse stands in their overlays: from the first that does, in all.
    """
    tables = [merged(version)["x-host"]["errors"] for version in HOST_VERSIONS]  # newest first
    for name, module in made_by_code().items():
        known = [name in table for table in tables]
        assert known == sorted(known, reverse=True), (name, module)
        assert known[0], (name, module)


@pytest.mark.parametrize("version", HOST_VERSIONS)
def test_every_error_of_the_spec_is_made_by_something(version: str) -> None:
    """By the code, or it is what an operation answers: no entry is left over."""
    document = merged(version)
    answered = set()
    for operation in operations(document):
        answered |= {operation.get("x-refusal"), *operation.get("x-errors", ())}
    assert set(document["x-host"]["errors"]) - made_by_code().keys() - answered == set()


@pytest.mark.parametrize("version", HOST_VERSIONS)
def test_every_operation_can_be_answered(version: str) -> None:
    """By an endpoint of its own or by its one error."""
    load_all()
    for operation in operations(merged(version)):
        assert operation["operationId"] in ENDPOINTS or "x-refusal" in operation
    create_app(Settings(host_version=version))


def test_an_operation_that_nothing_can_answer_is_a_mistake_in_the_spec(tmp_path: Path) -> None:
    """It is found at the start, with its path and the mend."""
    overlay = tmp_path / "more.yaml"
    overlay.write_text(
        "overlay: 1.0.0\ninfo: {title: t, version: '1'}\nactions:\n"
        "  - target: $.paths\n"
        "    update: {/v1/more: {get: {operationId: getMore, responses: {'200': {description: "
        "x}}}}}\n"
    )
    with pytest.raises(
        SpecError,
        match=r"paths\./v1/more\.get: the fake has no endpoint for 'getMore'; remove the operation",
    ):
        create_app(Settings(overlays=(overlay,)))


def test_an_unknown_name_is_a_mistake_of_ours(host_spec: HostSpec) -> None:
    """It is never one of a request, and does not pass for one."""
    with pytest.raises(KeyError):
        host_spec.errors("no_such_error")


def test_placeholders_are_filled_in_texts_alone() -> None:
    """Numbers stay numbers, the order of the keys stays, and what is filled in is not filled
    again.
    """
    errors = HostErrors({"x": ErrorText(418, {"b": "{one} and {two}", "a": 418, "c": "fixed"})})
    error = errors("x", one="{two}", two=2)
    assert (error.status, list(error.body.items())) == (
        418,
        [("b", "{two} and 2"), ("a", 418), ("c", "fixed")],
    )
    assert errors("x").body == {"b": "{one} and {two}", "a": 418, "c": "fixed"}
    assert errors.names == {"x"}
