"""The spec is OpenAPI 3.2 by the validator's judgement: alone and with each version's overlays."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV32SpecValidator

from dify_wire.profile import HOST_VERSIONS, overlay_paths
from dify_wire.spec import load
from dify_wire.yaml_file import load_yaml

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


def test_every_operation_has_a_name_a_user_and_its_errors() -> None:
    """What the fake is compiled from is said on each operation of a host version."""
    merged = load(ROOT / "openapi.yaml", overlay_paths("0.6.4"))
    operations = {
        operation["operationId"]: (path, method, operation)
        for path, item in merged["paths"].items()
        for method, operation in item.items()
        if method in ("get", "post", "delete")
    }
    assert set(operations) == {
        *(
            "runWorkflow",
            "getToolFile",
            "stopWorkflowTask",
            "getParameters",
            "getMeta",
            "getInfo",
            "getIndex",
        ),
        *("uploadFile", "getImagePreview", "listConversations", "listMessages", "sendChatMessage"),
        *("sendCompletionMessage", "audioToText", "textToAudio", "listDatasets", "createDataset"),
        *(
            "stopChatMessage",
            "stopCompletionMessage",
            "deleteConversation",
            "renameConversation",
            "sendFeedback",
        ),
        *(
            "listSuggestedQuestions",
            "createDocumentByText",
            "createDocumentByFile",
            "listDocuments",
            "deleteDocument",
        ),
        *(
            "updateDocumentByText",
            "updateDocumentByFile",
            "getIndexingStatus",
            "listSegments",
            "createSegments",
        ),
        *("updateSegment", "deleteSegment"),
    }
    for path, _, operation in operations.values():
        keyed = path.startswith("/v1/") and path != "/v1/"
        assert operation["security"] == ([{"bearer": []}] if keyed else [])
        assert {"x-user", "x-user-required", "x-errors"} <= operation.keys()
