"""Version profiles: what they say, where versions differ, and which of them can be served."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dify_wire.error_text import ErrorText
from dify_wire.profile import HOST_VERSIONS, REFERENCE_VERSION, data_schema, overlay_paths, profiles
from dify_wire.recording.folder import read_folder
from dify_wire.spec import load
from dify_wire.text_file import bundled

ROOT = Path(__file__).resolve().parent.parent


def test_profiles_come_in_the_order_of_release() -> None:
    released = sorted(profiles(), key=lambda version: [int(part) for part in version.split(".")])
    assert list(profiles()) == released
    assert released.index("0.6.9") < released.index("0.15.3")
    assert [profile.version for profile in profiles().values()] == list(profiles())


@pytest.mark.parametrize("version", HOST_VERSIONS)
def test_profile_of_a_served_version_is_that_of_its_document(version: str) -> None:
    """A profile is read without the document, and says the same."""
    host = load(bundled("openapi.yaml"), overlay_paths(version))["x-host"]
    profile = profiles()[version]
    assert {**profile.facts, "errors": host["errors"]} == host
    assert profile.errors == {
        name: ErrorText(error["status"], error["body"]) for name, error in host["errors"].items()
    }


@pytest.mark.parametrize("version", HOST_VERSIONS)
def test_versions_have_every_fact_and_error_of_the_reference(version: str) -> None:
    reference, profile = profiles()[REFERENCE_VERSION], profiles()[version]
    assert set(profile.facts) == set(reference.facts)
    assert set(profile.errors) >= set(reference.errors)
    assert dict(profile.facts["headers"])["X-Version"] == profile.facts["version"] == version
    named = [*profile.fact("request.app_errors").values()]
    named.append(profile.fact("request.falsy_input_error"))
    assert set(named) <= set(profile.errors)


def test_versions_differ_where_they_were_seen_to() -> None:
    errors = {version: profile.errors for version, profile in profiles().items()}
    values = {"field": "response_mode", "value": "foo"}
    assert errors["0.15.3"]["choice_invalid"].filled(**values) == {
        "code": "invalid_param",
        "message": "foo is not a valid choice",
        "params": "response_mode",
    }
    assert errors["1.10.1"]["choice_invalid"].filled(**values) == {
        "errors": {"response_mode": "The value 'foo' is not a valid choice for 'response_mode'."},
        "message": "Input payload validation failed",
    }
    assert errors["1.10.1"]["input_not_string"].filled(variable="prompt", type="paragraph") == {
        "code": "invalid_param",
        "message": "(type 'paragraph') prompt in input form must be a string",
        "status": 400,
    }
    assert profiles()["1.10.1"].fields("Info") == (
        *("name", "description", "tags", "mode", "author_name"),
    )
    assert "sequence_number" not in profiles()["1.10.1"].fields("WorkflowStartedData")


def test_field_lists_are_those_of_the_recorded_stream() -> None:
    stream = next(
        one for one in read_folder(ROOT / "recordings/dify-0.6.4") if one.name == "stream_ok"
    )
    body = b"".join(chunk.data for chunk in stream.chunks).decode()
    frames = [json.loads(line[6:]) for line in body.splitlines() if line.startswith("data: ")]
    reference = profiles()["0.6.4"]
    for frame in frames:
        assert tuple(frame["data"]) == reference.fields(data_schema(frame["event"]))
