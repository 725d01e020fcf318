"""The overlay says what the recorded host did: each claim names exchanges that exist, and they say
what it says.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jsonschema_rs
import pytest

from dify_wire.exchange import Recording
from dify_wire.profile import HOST_VERSIONS, overlay_paths
from dify_wire.recording.folder import read_folder
from dify_wire.spec import load
from dify_wire.yaml_file import load_yaml
from tests.each import each

ROOT = Path(__file__).resolve().parent.parent
EXCHANGES: dict[str, Recording] = {
    recording.name: recording for recording in read_folder(ROOT / "recordings/dify-0.6.4")
}
SPEC = load(ROOT / "openapi.yaml", overlay_paths("0.6.4"))
HOST = SPEC["x-host"]
ERRORS = HOST["errors"]
FACTS = {
    f"FACTS {number}"
    for number in re.findall(
        r"^(12\.\d+) ", (ROOT / "docs/FACTS.md").read_text("utf-8"), re.MULTILINE
    )
}
"""What was seen without an exchange being kept; ``tests/test_seen_facts.py`` asks the fake for
each.
"""
METHODS = ("get", "put", "post", "delete", "patch")
OPERATIONS = [
    (path, method, operation)
    for path, item in SPEC["paths"].items()
    for method, operation in item.items()
    if method in METHODS
]

# Exchanges of no operation here, with the reason. Every other one must be described.
NO_OPERATION = {
    "direct_health": "sent to the app behind its proxy, which hands /health to the web container"
}


@functools.cache
def recorded() -> frozenset[str]:
    """The names of the exchanges of every recorded version."""
    folders = ROOT.glob("recordings/dify-*")
    return frozenset(one.name for folder in folders for one in read_folder(folder))


def overlays() -> Iterator[tuple[str, dict[str, Any]]]:
    for version in HOST_VERSIONS:
        overlay = load_yaml(ROOT / f"overlays/dify-{version}.yaml")
        assert isinstance(overlay, dict)
        for index, action in enumerate(overlay["actions"]):
            yield f"{version}[{index}]", action


def media_type(exchange: Recording) -> str:
    return exchange.header("Content-Type", "").partition(";")[0]


def text(exchange: Recording) -> str:
    return exchange.body.decode()


@functools.cache
def validator(place: str) -> jsonschema_rs.Validator:
    """Validates against the schema at a place of the merged spec; the place is a JSON pointer."""
    return jsonschema_rs.Draft202012Validator(
        {"$ref": f"#{quote(place)}", "paths": SPEC["paths"], "components": SPEC["components"]}
    )


def assert_valid(place: str, value: Any) -> None:
    problems = [
        f"{error.instance_path}: {error.message}" for error in validator(place).iter_errors(value)
    ]
    assert problems == []


# Claims


@each(("name", "action"), [pytest.param(*entry, id=entry[0]) for entry in overlays()])
def test_every_action_names_its_evidence(name: str, action: dict[str, Any]) -> None:
    """A deviation is proven by recorded exchanges or by facts of section 12, or says where it was
    read.
    """
    where = f"overlays/dify-{name}, {action['target']}"
    assert action.get("x-evidence") or action.get("x-source"), f"{where}: add x-evidence"
    unknown = set(action.get("x-evidence", ())) - recorded() - FACTS
    assert not unknown, (
        f"{where}: {unknown} are no exchanges of recordings/dify-* and no FACTS 12.n"
    )


@each("name", ERRORS)
def test_every_error_is_what_the_host_answered(name: str) -> None:
    """Status, key order, style and words of each recorded refusal are the template's, its
    placeholders being free.
    """
    error = ERRORS[name]
    assert error.get("evidence") or error.get("source")
    for evidence in set(error.get("evidence", ())) - FACTS:
        exchange = EXCHANGES[evidence]
        assert exchange.status == error["status"], evidence
        assert template(error["body"]).fullmatch(text(exchange)), evidence


def template(body: dict[str, Any]) -> re.Pattern[str]:
    """The host's text of an error: JSON with ", " and ": ", one line feed, and any text for a
    placeholder.
    """
    return re.compile(re.sub(r"\\{\w+\\}", ".*", re.escape(json.dumps(body) + "\n")))


def test_every_recorded_refusal_is_one_of_the_errors() -> None:
    """No JSON refusal of the recordings is without a template."""
    bodies = [(error["status"], template(error["body"])) for error in ERRORS.values()]
    unknown = [
        name
        for name, exchange in EXCHANGES.items()
        if exchange.status >= 400 and media_type(exchange) == "application/json" and exchange.body
        if not any(
            exchange.status == status and body.fullmatch(text(exchange)) for status, body in bodies
        )
    ]
    assert unknown == []


def test_every_error_belongs_to_an_operation() -> None:
    """An error that nothing answers with would be dead words."""
    used = {name for _, _, operation in OPERATIONS for name in operation.get("x-errors", ())}
    assert used == ERRORS.keys()


@pytest.mark.parametrize(
    ("path", "method", "operation"),
    OPERATIONS,
    ids=[operation["operationId"] for *_, operation in OPERATIONS],
)
def test_every_error_satisfies_its_operations_schemas(
    path: str, method: str, operation: dict[str, Any]
) -> None:
    """What an operation may answer is described by its responses, and its one refusal is among its
    errors.
    """
    for name in operation["x-errors"]:
        error = ERRORS[name]
        assert_valid(schema_place(path, method, error["status"], "application/json"), error["body"])
    assert operation.get("x-refusal", operation["x-errors"][0]) in operation["x-errors"]


def schema_place(path: str, method: str, status: int, kind: str) -> str:
    """Where the schema of an answer stands; fails when the operation does not describe it."""
    responses = SPEC["paths"][path][method]["responses"]
    assert str(status) in responses, f"{method} {path} has no response {status}"
    response = responses[str(status)]
    place = f"/paths/{path.replace('/', '~1')}/{method}/responses/{status}"
    if "$ref" in response:
        place = response["$ref"].removeprefix("#")
        response = SPEC["components"]["responses"][place.rsplit("/", 1)[1]]
    content = kind if kind in response["content"] else kind.partition("/")[0] + "/*"
    assert content in response["content"], f"{kind} is not described at {place}"
    return f"{place}/content/{content.replace('/', '~1')}/schema"


# Answers


@each("name", EXCHANGES)
def test_every_recorded_answer_is_described(name: str) -> None:
    """Each exchange has an operation that describes its status, its content type and its body.

    What no operation describes is a page: Flask's for a path that does not exist, nginx's for what
    it does not hand on.
    """
    exchange = EXCHANGES[name]
    found = operation_of(exchange)
    if found is None:
        assert name in NO_OPERATION or media_type(exchange) == "text/html"
        return
    if exchange.request.method == "OPTIONS":
        assert (exchange.status, exchange.body) == (200, b"")
        return
    kind = media_type(exchange)
    if kind == "text/event-stream":
        for frame in frames(exchange):
            assert_valid("/components/schemas/StreamFrame", frame)
            if "data" in frame:
                assert_valid("/components/schemas/StreamEvent", json.loads(frame["data"]))
        return
    place = schema_place(*found, exchange.status, kind)
    if kind == "application/json" and exchange.body:
        assert_valid(place, json.loads(exchange.body))


def operation_of(exchange: Recording) -> tuple[str, str] | None:
    """Path and method of the operation that answers: another method on a known path is described by
    any of its own.
    """
    requested = exchange.request.path
    for path, item in SPEC["paths"].items():
        if re.fullmatch(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(path)), requested):
            own = [method for method in METHODS if method in item]
            method = {"HEAD": "get"}.get(exchange.request.method, exchange.request.method.lower())
            return path, method if method in own else own[0]
    return None


def frames(exchange: Recording) -> Iterator[dict[str, str]]:
    *parts, rest = text(exchange).split("\n\n")
    assert rest == ""
    for part in parts:
        field, value = part.split(": ", 1)
        yield {field: value}


def test_the_documents_own_answer_satisfies_the_hosts_schema() -> None:
    """The vendor's host and the recorded one answer alike: the document's example is valid under
    the overlay.
    """
    operation = SPEC["paths"]["/v1/workflows/run"]["post"]
    example = operation["responses"]["200"]["content"]["application/json"]["examples"]["document"][
        "value"
    ]
    assert_valid("/components/schemas/RunResponse", example)
    request = operation["requestBody"]["content"]["application/json"]["examples"]["document"][
        "value"
    ]
    assert_valid("/components/schemas/RunRequest", request)


BLOCKING = json.loads(EXCHANGES["block_ok_doc_example"].body)
EVENTS = [json.loads(frame["data"]) for frame in frames(EXCHANGES["stream_ok"])]
ANSWERS = [("RunResponse", BLOCKING), *(("StreamEvent", event) for event in EVENTS)]


@pytest.mark.parametrize(("schema", "answer"), ANSWERS)
def test_the_schemas_are_exact(schema: str, answer: dict[str, Any]) -> None:
    """Every field of an answer is needed, none may be added, and none may be of another type."""
    valid = validator(f"/components/schemas/{schema}").is_valid
    assert valid(answer)
    for owner in (answer, answer["data"]):
        for key, value in list(owner.items()):
            owner[key] = object_of_no_type = ["neither", 1]
            assert not valid(answer), f"{key} may be {object_of_no_type}"
            del owner[key]
            assert not valid(answer), f"{key} may be missing"
            owner[key] = value
        owner["surplus"] = None
        assert not valid(answer)
        del owner["surplus"]
    assert valid(answer)


# Requests

# Refused by the host for what is not in the body's schema.
REFUSED_OTHERWISE = {
    **dict.fromkeys(("block_prompt_len1001",), "the greatest length is the app's own"),
    **dict.fromkeys(("ct_text", "ct_octet", "ct_json_empty_ct"), "the content type"),
    **dict.fromkeys(("auth_raw_key", "auth_extra_word", "auth_two_headers"), "the authorization"),
    **dict.fromkeys(
        ("down_api", "down_pg_block", "down_redis_block", "down_redis_stream"), "the host is down"
    ),
    "tenant_archived": "the app's owner",
}


def run_requests() -> Iterator[Any]:
    """The bodies that were sent to the document's app, as far as they are JSON."""
    for name, exchange in EXCHANGES.items():
        if (exchange.app, exchange.request.method, exchange.request.target) != (
            "main",
            "POST",
            "/v1/workflows/run",
        ):
            continue
        try:
            body = json.loads(exchange.request.body)
        except (ValueError, RecursionError):  # malformed on purpose, or cut in the recording
            continue
        yield pytest.param(name, body, id=name)


@each(("name", "body"), list(run_requests()))
def test_the_schema_accepts_what_the_host_accepts(name: str, body: Any) -> None:
    """And refuses what it refuses, but for reasons outside the body's schema, named above."""
    accepted = EXCHANGES[name].status == 200 or name in REFUSED_OTHERWISE
    assert validator("/components/schemas/RunRequest").is_valid(body) is accepted


# Facts


def test_the_headers_are_on_every_answer_of_the_app_in_order() -> None:
    """What the app adds stands last, in this order."""
    wanted = [tuple(pair) for pair in HOST["headers"]]
    answers = [exchange.headers for exchange in EXCHANGES.values() if exchange.header("X-Version")]
    assert len(answers) > 200
    assert all([tuple(pair) for pair in headers[-len(wanted) :]] == wanted for headers in answers)


def test_pings_came_at_the_times_of_the_facts() -> None:
    """Frame and rhythm of the pings are those of a recorded long stream, within a tenth of a
    second.
    """
    exchange = EXCHANGES["slow_stream_35s"]
    frame = HOST["ping"]["frame"]
    times = [chunk.at_s for chunk in exchange.chunks if chunk.data.decode() == frame]
    expected = [HOST["ping"]["first_s"] + HOST["ping"]["every_s"] * index for index in range(3)]
    assert times == pytest.approx(expected, abs=0.1)


def test_the_preflight_answers_are_the_cors_facts() -> None:
    """Methods as recorded; of the headers asked for, those that are allowed come back."""
    answer = EXCHANGES["cors_preflight"]
    assert answer.header("Access-Control-Allow-Methods") == ", ".join(HOST["cors"]["methods"])
    allowed = {name.lower() for name in HOST["cors"]["headers"]}
    assert set(answer.header("Access-Control-Allow-Headers", "").split(", ")) <= allowed
    assert EXCHANGES["cors_preflight_otherhdr"].header("Access-Control-Allow-Headers") in allowed


def test_the_limits_are_those_the_host_kept() -> None:
    """Sizes and lengths on both sides of a limit were answered as it says."""
    limits = HOST["limits"]
    assert str(limits["upload_image_bytes"]) in text(EXCHANGES["upload_11M"])
    users = {
        name: len(json.loads(EXCHANGES[name].request.body)["user"])
        for name in ("user_long255", "user_long256")
    }
    assert users == {
        "user_long255": limits["user_characters"],
        "user_long256": limits["user_characters"] + 1,
    }
    elapsed_s = json.loads(EXCHANGES["timeout600_block"].body)["data"]["elapsed_time"]
    assert elapsed_s == pytest.approx(limits["run_s"], abs=0.5)


def test_the_prefixes_are_what_the_proxy_hands_on() -> None:
    """Behind a prefix the app answers; elsewhere nginx had nobody to ask."""
    for name in (
        "get_files",
        "get_api",
        "get_console",
        "get_v1foo",
        "get_v2",
        "get_favicon",
        "path_upper",
    ):
        exchange = EXCHANGES[name]
        handed_on = exchange.request.target.startswith(tuple(HOST["app_prefixes"]))
        assert bool(exchange.header("X-Version")) is handed_on, name
        assert exchange.header("Server") == HOST["proxy"]["server"]
