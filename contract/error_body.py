"""What a refusal looks like: the host's envelopes and texts (FACTS 3), and the judgement whether an
answer is one.

Two shapes: ``code, message, status`` for most, ``code, message, params`` for a refused field of the
body; and ``message, code`` where the host itself failed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from contract.result import expect, expect_equal, expect_version, shortened
from contract.target import is_accepted_run
from dify_wire.exchange import Exchange


@dataclass(frozen=True, slots=True)
class Refusal:
    """A status, and the JSON object that goes with it."""

    status: int
    body: Mapping[str, Any]


def refusal(status: int, code: str, message: str) -> Refusal:
    """The usual envelope."""
    return Refusal(status, {"code": code, "message": message, "status": status})


def invalid(message: str) -> Refusal:
    """What a check of a value says."""
    return refusal(400, "invalid_param", message)


def invalid_field(field: str, message: str) -> Refusal:
    """What the reading of the body's fields says; it has no status."""
    return Refusal(400, {"code": "invalid_param", "message": message, "params": field})


NO_BEARER = refusal(
    401, "unauthorized", "Authorization header must be provided and start with 'Bearer'"
)
OTHER_SCHEME = refusal(401, "unauthorized", "Authorization scheme must be 'Bearer'")
UNKNOWN_KEY = refusal(401, "unauthorized", "Access token is invalid")
NO_APP = refusal(
    404,
    "not_found",
    "The requested URL was not found on the server. If you entered the URL manually please check your spelling and "
    "try again.",
)
NOT_JSON = refusal(
    415,
    "unsupported_media_type",
    "Did not attempt to load JSON data because the request Content-Type was not 'application/json'.",
)
_NOT_UNDERSTOOD = "The browser (or proxy) sent a request that this server could not understand."
MALFORMED = refusal(400, "bad_request", _NOT_UNDERSTOOD)
HOST_FAILED = Refusal(500, {"message": "Internal Server Error", "code": "unknown"})
INTERNAL_ERROR = refusal(
    500,
    "internal_server_error",
    "The server encountered an internal error and was unable to complete your request. Either the server is "
    "overloaded or there is an error in the application.",
)
NO_USER = invalid("Arg user must be provided.")
NUL_IN_TEXT = invalid("A string literal cannot contain NUL (0x00) characters.")
NOT_WORKFLOW = refusal(
    400, "not_workflow_app", "Please check if your app mode matches the right API route."
)
UNPUBLISHED = invalid("Workflow not published")
NO_METHOD = refusal(405, "method_not_allowed", "The method is not allowed for the requested URL.")
NO_FILE = refusal(400, "bad_request_key_error", _NOT_UNDERSTOOD)
BAD_URL = refusal(403, "forbidden", "Invalid request.")
FILE_TYPE = refusal(415, "unsupported_file_type", "File type not allowed.")


def required(variable: str) -> Refusal:
    return invalid(f"{variable} is required in input form")


def no_choice(value: str) -> Refusal:
    """``value`` as Python's ``str`` writes it."""
    return invalid_field("response_mode", f"{value} is not a valid choice")


def expect_refused(exchange: Exchange, expected: Refusal) -> None:
    """Raise ``Failed`` unless ``exchange`` is the refusal ``expected``, and nothing was run
    for it.
    """
    _expect_not_run(exchange)
    expect(
        exchange.status == expected.status, f"status {expected.status}", _status(exchange), exchange
    )
    expect_equal(exchange.media_type, "application/json", "content type", exchange)
    got = exchange.json_object()
    for name, value in expected.body.items():
        expect_equal(got.get(name), value, name, exchange)
    expect_equal(sorted(got), sorted(expected.body), "members", exchange)


def expect_some_refusal(exchange: Exchange) -> None:
    """Raise ``Failed`` unless the host says that the request is wrong, however it says
    so.
    """
    _expect_not_run(exchange)
    is_refusal = exchange.status is not None and 400 <= exchange.status < 500
    expect(is_refusal, "a status of 400 to 499", _status(exchange), exchange)


def expect_refused_as(exchange: Exchange, of_versions: Mapping[str, Refusal]) -> None:
    """As ``expect_refused``, where versions differ; see ``expect_version``."""
    _expect_not_run(exchange)
    got = (exchange.status, exchange.json_object() or exchange.text)
    told = {version: (one.status, dict(one.body)) for version, one in of_versions.items()}
    expect_version(got, told, "the answer", exchange)


def expect_error_style(exchange: Exchange) -> None:
    """Raise ``Failed`` unless it is JSON as Python's ``json`` writes it, and ends with a
    newline.
    """
    try:
        written = (json.dumps(exchange.json()) + "\n").encode()
    except ValueError:
        written = b"JSON"
    expect(exchange.body == written, shortened(written.decode()), exchange.text, exchange)


def _expect_not_run(exchange: Exchange) -> None:
    expect(
        not is_accepted_run(exchange),
        "a refusal",
        "status 200: the host took it for a run",
        exchange,
    )


def _status(exchange: Exchange) -> str:
    return (
        f"no answer: {exchange.failure}" if exchange.status is None else f"status {exchange.status}"
    )
