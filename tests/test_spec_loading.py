"""Loading the spec: every file that a user can get wrong is one clear line with file, place and
correction.
"""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from dify_wire import profile, text_file
from dify_wire.overlay import copied
from dify_wire.profile import HOST_VERSIONS, overlay_paths, profiles
from dify_wire.spec import check, load
from dify_wire.text_file import SpecError, bundled

GOOD = "openapi: 3.2.0\ninfo: {title: t, version: '1'}\npaths: {}\n"


def readable_text(error: SpecError) -> str:
    """The error as its reader sees it; whatever else, it is one line that begins with file and
    place.
    """
    text = str(error)
    assert "\n" not in text
    assert text.startswith(f"{error.path}: {error.place}: ")
    return text


def refused(tmp_path: Path, text: str, *overlays: str) -> SpecError:
    """The error of loading ``text`` as the spec, with ``overlays``."""
    path = tmp_path / "mine.yaml"
    path.write_text(text, "utf-8")
    paths = []
    for index, overlay in enumerate(overlays):
        paths.append(tmp_path / f"overlay-{index}.yaml")
        paths[-1].write_text(overlay, "utf-8")
    with pytest.raises(SpecError) as caught:
        load(path, paths)
    readable_text(caught.value)
    return caught.value


@cache
def merged() -> dict[str, Any]:
    return load(bundled("openapi.yaml"), overlay_paths("0.6.4"))


def with_schema(schema: str) -> str:
    return GOOD + f"components: {{schemas: {{A: {schema}}}}}\n"


# Files


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """The error names the path, and that a YAML file is wanted."""
    with pytest.raises(SpecError, match="no such file") as caught:
        load(tmp_path / "gone.yaml", [])
    assert "gone.yaml" in readable_text(caught.value)


# The document


@pytest.mark.parametrize(
    ("text", "place", "says"),
    [
        ("info: {}\npaths: {}\n", "openapi", "no OpenAPI version"),
        ("openapi: 3.0.3\npaths: {}\n", "openapi", "'3.0.3'"),
        ("openapi: 3.2\npaths: {}\n", "openapi", "3.2"),
        ("swagger: '2.0'\n", "openapi", "no OpenAPI version"),
        ("openapi: 3.2.0\n", "paths", "a mapping of paths"),
        ("openapi: 3.1.0\npaths: []\n", "paths", "a mapping of paths"),
        ("openapi: 3.1.0\npaths: {/a: []}\n", "paths./a", "expected a mapping"),
        ("openapi: 3.1.0\npaths: {/a: {get: []}}\n", "paths./a.get", "expected a mapping"),
        (
            "openapi: 3.1.0\npaths: {/a: {get: {operationId: x}, post: {operationId: x}}}\n",
            "paths./a.post",
            "that of paths./a.get too",
        ),
        (
            "openapi: 3.1.0\npaths: {/a: {get: {x-user: body}}}\n",
            "paths./a.get.x-user",
            "known: query, json, form, none",
        ),
        (
            "openapi: 3.1.0\npaths: {/a: {get: {x-user-required: 1}}}\n",
            "paths./a.get.x-user-required",
            "true or false",
        ),
    ],
)
def test_a_document_of_another_kind_is_refused(
    tmp_path: Path, text: str, place: str, says: str
) -> None:
    """OpenAPI 3.1 and 3.2 with paths and operations: nothing else is a spec."""
    error = refused(tmp_path, text)
    assert error.place == place
    assert says in error.message


@pytest.mark.parametrize(
    ("schema", "place", "says"),
    [
        ("{$ref: '#/components/schemas/B'}", "", "leads to nothing; add 'B'"),
        ("{$ref: other.yaml}", "", "leads out of the document"),
        ("{properties: {b: {$ref: '#/x/~1y'}}}", ".properties.b", "leads to nothing; add 'x'"),
        (
            "{discriminator: {mapping: {b: '#/nowhere'}}}",
            ".discriminator.mapping.b",
            "leads to nothing",
        ),
        (
            "{required: [c], properties: {b: {}}}",
            ".required",
            "'c' is required and not among properties",
        ),
        ("{required: c}", ".required", "expected a list"),
        ("{required: [1]}", ".required[0]", "expected a string"),
        (
            "{properties: {required: {required: [c], properties: {}}}}",
            ".properties.required.required",
            "'c'",
        ),
        ("{enum: []}", ".enum", "at least one value"),
        ("{enum: x}", ".enum", "at least one value"),
        ("{enum: [a, b], default: c}", ".default", "'c' is not in enum"),
        ("{enum: [1], default: true}", ".default", "True is not in enum"),
        ("{type: string, enum: [a, 1]}", "", "1 is not of type 'string'"),
        ("{type: integer, default: '1'}", "", "'1' is not of type 'integer'"),
        ("{type: [string, 'null'], const: 5}", "", "5 is not of type"),
        ("{type: boolean, default: 1}", "", "1 is not of type"),
        ("{minLength: 3, maxLength: 2}", "", "minLength is greater than maxLength"),
        (
            "{properties: {default: {minimum: 3, maximum: 2}}}",
            ".properties.default",
            "minimum is greater",
        ),
        ("{allOf: [{enum: []}]}", ".allOf[0].enum", "at least one value"),
    ],
)
def test_rules_that_contradict_each_other_are_refused(
    tmp_path: Path, schema: str, place: str, says: str
) -> None:
    """No request could keep to them, so no server starts with them."""
    error = refused(tmp_path, with_schema(schema))
    assert error.place == f"components.schemas.A{place}"
    assert says in error.message


def test_a_default_is_compared_with_the_enumeration_it_refers_to(tmp_path: Path) -> None:
    """A default beside a $ref must be in the referred enumeration."""
    text = (
        GOOD + "components: {schemas: {A: {enum: [a]}, "
        "B: {$ref: '#/components/schemas/A', default: b}}}\n"
    )
    assert "'b' is not in enum" in refused(tmp_path, text).message


@pytest.mark.parametrize(
    "schema",
    [
        "{examples: [{$ref: nowhere}], x-a: {$ref: nowhere}, default: {required: x}}",
        "{const: {enum: []}}",
        "{allOf: [{required: [b], properties: {}}], properties: {b: {}}}",
        "{required: [b]}",
        "{type: number, default: 1, properties: {enum: {}, default: {}}}",
        "{type: integer, default: 1.0}",
        "true",
    ],
)
def test_what_only_looks_like_a_contradiction_passes(tmp_path: Path, schema: str) -> None:
    """Values are not rules, a part may speak of what the whole defines, and names may be
    keywords.
    """
    path = tmp_path / "mine.yaml"
    path.write_text(with_schema(schema), "utf-8")
    assert load(path, [])["openapi"] == "3.2.0"


# Overlays


@pytest.mark.parametrize(
    ("overlay", "place", "says"),
    [
        ("openapi: 3.2.0\n", "overlay", "not an OpenAPI Overlay 1.0"),
        ("overlay: 1.0.0\n", "actions", "at least one action"),
        (
            "overlay: 1.0.0\nactions: [{target: $.paths.x, remove: true}]\n",
            "actions[0] (target $.paths.x)",
            "matches nothing",
        ),
        (
            "overlay: 1.0.0\nactions: [{target: $.openapi, update: x}]\n",
            "actions[0] (target $.openapi)",
            "cannot target a primitive",
        ),
        (
            "overlay: 1.0.0\nactions: [{target: $, update: {components: {headers: []}}}]\n",
            "components.headers",
            "expected a mapping",
        ),
        ("a: 1\na: 2\n", "line 2, column 1", "is here twice"),
    ],
)
def test_an_overlay_that_does_not_fit_is_refused(
    tmp_path: Path, overlay: str, place: str, says: str
) -> None:
    """The error names the overlay's file, not the spec's."""
    error = refused(tmp_path, GOOD, overlay)
    assert (error.path.name, error.place) == ("overlay-0.yaml", place)
    assert says in error.message


def test_a_missing_overlay_is_named(tmp_path: Path) -> None:
    """As a missing spec is."""
    with pytest.raises(SpecError, match=r"gone\.yaml: the file: it cannot be read"):
        load(bundled("openapi.yaml"), [tmp_path / "gone.yaml"])


def test_overlays_apply_in_order_and_leave_no_trace_in_each_other(tmp_path: Path) -> None:
    """The later one sees the earlier one's work, and loading twice gives the same."""
    overlays = []
    for index in (1, 2):
        overlays.append(tmp_path / f"{index}.yaml")
        update = f"{{x-list: [{index}], x-last: {index}}}"
        text = f"overlay: 1.0.0\nactions: [{{target: $, update: {update}}}]\n"
        overlays[-1].write_text(text, "utf-8")
    first = load(bundled("openapi.yaml"), overlays)
    assert (first["x-list"], first["x-last"]) == ([1, 2], 2)
    assert load(bundled("openapi.yaml"), overlays) == first


def test_a_changed_overlay_is_read_again(tmp_path: Path) -> None:
    """A file is read once per state, so an edit counts."""
    path = tmp_path / "mine.yaml"
    for value in (1, 22):
        path.write_text(
            f"overlay: 1.0.0\nactions: [{{target: $, update: {{x-a: {value}}}}}]\n", "utf-8"
        )
        assert load(bundled("openapi.yaml"), [path])["x-a"] == value


# Host versions


def test_the_newest_known_version_comes_first() -> None:
    served = [version for version in profiles() if version in HOST_VERSIONS]
    assert list(HOST_VERSIONS) == served[::-1]
    assert {"0.6.3", "0.6.4"} <= set(served)


def test_an_older_version_is_the_newer_one_with_its_differences() -> None:
    """x-after is followed, and what differs is version, header, greeting and ping, and nothing
    else.
    """
    assert [path.name for path in overlay_paths("0.6.3")] == ["dify-0.6.4.yaml", "dify-0.6.3.yaml"]
    newer = load(bundled("openapi.yaml"), overlay_paths("0.6.4"))
    older = load(bundled("openapi.yaml"), overlay_paths("0.6.3"))
    assert older["x-host"]["ping"] == {**newer["x-host"]["ping"], "frame": "data: ping\n\n"}
    assert dict(older["x-host"]["headers"]) == {
        **dict(newer["x-host"]["headers"]),
        "X-Version": "0.6.3",
    }
    assert older["components"]["schemas"]["Index"]["properties"]["server_version"] == {
        "const": "0.6.3"
    }
    for document in (newer, older):
        del document["x-host"]["version"], document["x-host"]["headers"], document["x-host"]["ping"]
        del (
            document["components"]["schemas"]["Index"],
            document["components"]["schemas"]["PingFrame"],
        )
    assert newer == older


def test_an_unknown_version_lists_the_known_ones() -> None:
    """A typing error is corrected from the message."""
    with pytest.raises(
        SpecError,
        match=r"Dify 0\.6\.33 was not recorded; the nearest older one is 0\.6\.9; use one of: .*",
    ) as caught:
        overlay_paths("0.6.33")
    readable_text(caught.value)


def test_overlays_that_wait_for_each_other_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A circle of x-after is an error, not a loop."""
    for name, after in (("dify-1.0.yaml", "dify-2.0.yaml"), ("dify-2.0.yaml", "dify-1.0.yaml")):
        (tmp_path / name).write_text(f"overlay: 1.0.0\nx-after: {after}\n", "utf-8")
    monkeypatch.setattr(profile, "HOST_VERSIONS", ("1.0",))
    monkeypatch.setattr(profile, "bundled", lambda name: tmp_path / Path(name).name)
    with pytest.raises(SpecError, match="each come after the other"):
        overlay_paths("1.0")


def test_a_file_that_did_not_come_along_is_named() -> None:
    """A broken installation says so."""
    with pytest.raises(SpecError, match="install it again"):
        bundled("nowhere.yaml")


def test_an_installed_package_finds_its_own_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a wheel the files lie in dify_wire/data, and no checkout is near."""
    (tmp_path / "dify_wire/data").mkdir(parents=True)
    (tmp_path / "dify_wire/data/openapi.yaml").write_text(GOOD, "utf-8")
    monkeypatch.setattr(text_file, "_HERE", tmp_path / "dify_wire")
    assert bundled("openapi.yaml") == tmp_path / "dify_wire/data/openapi.yaml"


# Facts of the host


@pytest.mark.parametrize(
    ("keys", "value", "says"),
    [
        (("version",), 0.6, "a string in quotes"),
        (("ping", "frame"), "", "a string in quotes"),
        (("ping", "every_s"), 0, "a number from 0.001"),
        (("limits", "run_s"), "600", "a number from 0.001"),
        (("limits", "run_steps"), True, "a whole number from 1"),
        (("limits",), [], "expected a mapping"),
        (("headers",), {"X-Env": "PRODUCTION"}, "expected a list"),
        (("headers",), [["X-Env"]], "a pair"),
        (("cors", "methods"), "GET", "expected a list"),
        (("upload_extensions", "image"), [1], "expected a string"),
        (("app_prefixes",), None, "expected a list"),
        (("proxy", "server"), None, "a header's value"),
        (("errors",), [], "expected a mapping"),
        (("errors", "user_missing"), {"status": 400}, "this key is missing"),
        (("errors", "user_missing", "status"), 200, "from 400 to 599"),
        (("errors", "user_missing", "body", "status"), 401, "differs from the status 400"),
        (("errors", "user_missing", "evidence"), "one", "expected a list"),
    ],
)
def test_a_wrong_fact_of_the_host_is_refused(keys: tuple[str, ...], value: Any, says: str) -> None:
    """Each fact that the fake is compiled from has its type checked, and its place is named."""
    document = copied(merged())
    owner = document["x-host"]
    for key in keys[:-1]:
        owner = owner[key]
    owner[keys[-1]] = value
    with pytest.raises(SpecError, match=says) as caught:
        check(Path("mine.yaml"), document)
    assert caught.value.place.startswith("x-host." + ".".join(keys))


@pytest.mark.parametrize(
    "keys",
    [
        ("version",),
        ("ping",),
        ("ping", "first_s"),
        ("limits", "user_characters"),
        ("cors",),
        ("errors",),
    ],
)
def test_a_missing_fact_of_the_host_is_refused(keys: tuple[str, ...]) -> None:
    """A fact that is not there is named with its whole place."""
    document = copied(merged())
    owner = document["x-host"]
    for key in keys[:-1]:
        owner = owner[key]
    del owner[keys[-1]]
    with pytest.raises(SpecError, match="this key is missing; add it") as caught:
        check(Path("mine.yaml"), document)
    assert caught.value.place == "x-host." + ".".join(keys)


@pytest.mark.parametrize("key", ["x-errors", "x-refusal"])
def test_an_error_that_is_not_defined_is_refused(key: str) -> None:
    """An operation cannot refuse with words that nobody wrote."""
    document = copied(merged())
    document["paths"]["/v1/info"]["get"][key] = ["oops"] if key == "x-errors" else "oops"
    with pytest.raises(SpecError, match=r"x-host\.errors has no 'oops'"):
        check(Path("mine.yaml"), document)


# Cost


def test_importing_the_loader_imports_no_library() -> None:
    """Not even PyYAML, until a file is read; and no validator ever."""
    code = """import sys, dify_wire.spec
print([name for name in ("yaml", "jsonschema", "jsonschema_rs") if name in sys.modules])"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
