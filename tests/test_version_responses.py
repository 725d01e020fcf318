"""What every version writes around its responses: headers and their order, the style of JSON, the
errors of keys, apps, bodies and paths, as each was recorded.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest

from dify_wire.app_kind import OTHER_APP_KINDS
from dify_wire.exchange import Recording
from dify_wire.profile import HOST_VERSIONS, nearest_older, recorded_version
from dify_wire.recording.folder import read_folder
from dify_wire.text_file import SpecError
from fake_server.app import FakeServer, create_app
from fake_server.http.responses import NotFoundHints, json_bytes
from fake_server.settings import Settings
from fake_server.spec import load_host
from tests.asgi import call
from tests.each import each
from tests.recorded import RECORDINGS

VERSIONS = [version for version in HOST_VERSIONS if (RECORDINGS / f"dify-{version}").is_dir()]
AREA = re.compile(
    r"(auth|cors|ct|method|get|post|path|body|v1_redirect|accept|sib)_.*"
    r"|user_(missing|empty|zero).*|app_deleted.*|api_disabled.*"
    r"|ep_.*(None|OPTIONS|slash|POST|apidisabled)"
)
OTHER_AREAS = re.compile(r"get_run_x|body_14M|sib_run_by.*|sib_post_workflow.*")
"""What looks like one of these, and is decided by an operation of its own."""

PROXY = {"server", "date", "connection"}
FREE = {"content-length", "transfer-encoding"}


def recordings(version: str) -> Iterator[Recording]:
    """What the versions' HTTP layer decides: errors, pages, redirects and preflights."""
    for one in read_folder(RECORDINGS / f"dify-{version}"):
        whole = one.ended == "complete" and not one.shortened and not one.request.shortened
        decided = one.status >= 300 or one.request.method == "OPTIONS"
        named = AREA.fullmatch(one.name) and not OTHER_AREAS.fullmatch(one.name)
        if whole and decided and named and one.header("x-version"):
            yield one


def shown(headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """The app's own headers in their order; the order of methods in ``Allow`` is a set's."""
    return [
        (name, ", ".join(sorted(value.split(", "))) if name == "Allow" else value)
        for name, value in headers
        if name.lower() not in PROXY | FREE
    ]


def of_version(version: str) -> FakeServer:
    keys = json.loads((RECORDINGS / f"dify-{version}" / "keys.json").read_text("utf-8"))
    kinds = {key: label if label in OTHER_APP_KINDS else "workflow" for label, key in keys.items()}
    return create_app(Settings(host_version=version, speed=None, apps=tuple(kinds.items())))


@pytest.mark.parametrize("version", VERSIONS)
def test_responses_are_those_of_the_recordings(version: str) -> None:
    """Status, headers in their order and body, byte for byte."""
    app = of_version(version)
    routes = {one.path for one in app.spec.operations}
    compared, differences = 0, []
    for one in recordings(version):
        request = one.request
        if (
            one.status != 404
            and one.name.startswith(("sib_", "ep_"))
            and request.path not in routes
        ):
            continue  # an operation of its own, which other tests look at
        answer = call(app, request.method, request.target, request.headers, request.body)
        expected = one.status, shown(list(one.headers)), one.body
        got = answer.status, shown(answer.headers), answer.body
        if request.method == "HEAD":
            got = (*got[:2], b"")
        compared += 1
        if got != expected:
            differences.append(f"{one.name}: {got} instead of {expected}")
    assert compared
    assert not differences, "\n".join(differences)


def test_json_of_later_versions_is_compact_with_escaped_slashes() -> None:
    assert json_bytes({"a/b": ["猫", 1]}, "compact") == b'{"a\\/b":["\\u732b",1]}\n'


def test_a_json_404_names_the_routes_that_resemble_its_path() -> None:
    """In the order of their likeness; a path that resembles none gets no hint."""
    hints = NotFoundHints(load_host("1.14.2"))
    message = "Form not found."
    assert hints.added(message, "/v1/audio-to-txt") == (
        "Form not found. You have requested this URI [/v1/audio-to-txt] but did you mean "
        "/v1/audio-to-text ?"
    )
    far = "/v1/workflows/run/0d20a69e-044a-49bf-85fe-cb509dcc1d13"
    assert hints.added(message, far) == message


@each(
    "text, version",
    [
        ("1.10", "1.10.1"),
        ("1.14.2", "1.14.2"),
        ("0.6", "0.6.9"),
        ("0", "0.15.3"),
        ("1", HOST_VERSIONS[0]),
        ("0.15", "0.15.3"),
    ],
)
def test_a_prefix_means_the_newest_recorded_version(text: str, version: str) -> None:
    assert recorded_version(text) == version
    assert create_app(Settings(host_version=text)).spec.version == version


@each(
    "text, words",
    [
        ("1.1", "Dify 1.1 was not recorded; the nearest older one is 0.15.3; use one of: "),
        ("1.10.2", "the nearest older one is 1.10.1"),
        ("99", f"the nearest older one is {HOST_VERSIONS[0]}"),
        ("0.3.1", "no older one is known"),
        ("latest", "'latest' is unknown; use one of"),
        ("1.10.", "'1.10.' is unknown (did you mean '1.10.1'?)"),
        ("", "'' is unknown"),
        ("1..2", "is unknown"),
        ("٣.1", "is unknown"),
        ("9" * 5000, "is unknown"),
    ],
)
def test_a_version_that_was_not_recorded_is_refused(text: str, words: str) -> None:
    with pytest.raises(SpecError, match=re.escape(words)):
        recorded_version(text)


def test_the_nearest_older_version_may_be_the_version_itself() -> None:
    assert nearest_older("1.10.1") == "1.10.1"
    assert nearest_older("1.12") == "1.10.1"
    assert nearest_older("0.1") is None
