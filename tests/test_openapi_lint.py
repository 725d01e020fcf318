"""The spec is valid OpenAPI 3.2, alone and with each version's overlays and in its 3.1 form, and
has what the fake reads.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator, OpenAPIV32SpecValidator

from dify_wire.profile import HOST_VERSIONS, overlay_paths
from dify_wire.spec import load, to_openapi_31
from dify_wire.yaml_file import load_yaml
from fake_server.endpoints import ENDPOINTS, load_all

ROOT = Path(__file__).resolve().parent.parent
OVERLAYS = {"document": [], **{version: overlay_paths(version) for version in HOST_VERSIONS}}


@pytest.fixture(params=OVERLAYS)
def document(request: pytest.FixtureRequest) -> dict[str, Any]:
    return load(ROOT / "openapi.yaml", OVERLAYS[request.param])


def keys(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        yield from value
        for child in value.values():
            yield from keys(child)
    elif isinstance(value, list):
        for child in value:
            yield from keys(child)


@pytest.mark.slow
def test_the_spec_is_valid_openapi_32(document: dict[str, Any]) -> None:
    """No tool that knows 3.2 refuses the spec, with or without an overlay."""
    assert document["openapi"] == "3.2.0"
    assert [error.message for error in OpenAPIV32SpecValidator(document).iter_errors()] == []


@pytest.mark.slow
def test_the_31_form_is_valid_openapi_31(document: dict[str, Any]) -> None:
    """Older tools get a form of their own: valid 3.1, no itemSchema, and nothing else changed."""
    form = to_openapi_31(document)
    assert [error.message for error in OpenAPIV31SpecValidator(form).iter_errors()] == []
    assert "itemSchema" not in set(keys(form))
    assert set(keys(document)) - set(keys(form)) == {"itemSchema"}
    run = form["paths"]["/v1/workflows/run"]["post"]["responses"]["200"]
    stream = run["content"]["text/event-stream"]
    assert stream["x-item-schema"] == {"$ref": "#/components/schemas/StreamFrame"}
    assert stream["schema"] == {"anyOf": [{"type": "string"}, stream["x-item-schema"]]}
    assert form["components"] == document["components"]


def test_the_spec_keeps_to_what_its_tools_can_do(document: dict[str, Any]) -> None:
    """prefixItems breaks schemathesis, and a $ref out of the file breaks a spec that is one
    file.
    """
    assert "prefixItems" not in set(keys(document))
    assert all(reference.startswith("#/") for reference in references(document))


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for child in value.values():
            yield from references(child)
    elif isinstance(value, list):
        for child in value:
            yield from references(child)


@pytest.mark.parametrize(
    "path", sorted((ROOT / "overlays").glob("*.yaml")), ids=lambda path: path.name
)
def test_an_overlay_is_named_after_its_host_version(path: Path) -> None:
    """The file's name, its info and the merged x-host name one version, and the overlay says what
    it extends.
    """
    overlay = load_yaml(path)
    assert isinstance(overlay, dict)
    version = path.stem.removeprefix("dify-")
    assert (overlay["info"]["version"], overlay["extends"]) == (version, "../openapi.yaml")
    assert load(ROOT / "openapi.yaml", overlay_paths(version))["x-host"]["version"] == version


@pytest.mark.parametrize("version", HOST_VERSIONS)
def test_every_operation_has_what_the_fake_and_its_tests_read(version: str) -> None:
    merged = load(ROOT / "openapi.yaml", overlay_paths(version))
    errors = merged["x-host"]["errors"]
    for path, method, operation in operations(merged):
        place = f"{method} {path} of {version}"
        fields = {"operationId", "tags", "security", "x-user", "x-user-required", "x-errors"}
        missing = sorted(fields - operation.keys())
        assert not missing, f"{place} needs {missing}, as /v1/info has them"
        unknown = sorted(set(operation["x-errors"]) - errors.keys())
        assert not unknown, f"{place}: the x-errors {unknown} are not in x-host.errors"
        statuses = {"308", "414", "502"}  # the host sends these whatever the operation
        statuses |= {str(errors[name]["status"]) for name in operation["x-errors"]}
        missing = sorted(statuses - operation["responses"].keys())
        assert not missing, f"{place} needs the responses {missing}, as /v1/info has them"
        keyed = path.startswith("/v1/") and path not in ("/v1/", "/v1/swagger.json")
        assert operation["security"] == ([{"bearer": []}] if keyed else []), place


def test_every_endpoint_has_an_operation() -> None:
    versions = [load(ROOT / "openapi.yaml", overlay_paths(version)) for version in HOST_VERSIONS]
    named = {one["operationId"] for merged in versions for *_, one in operations(merged)}
    load_all()
    assert sorted(ENDPOINTS.keys() - named) == [], "these endpoints are not an operationId"


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Path, method and operation of each."""
    for path, item in document["paths"].items():
        for method in ("get", "put", "post", "delete", "patch"):
            if method in item:
                yield path, method, item[method]
