"""The body of a run on each version: three shapes of field errors, the limit of active runs, and
what a stream gets that is refused too late.
"""

from __future__ import annotations

import asyncio
import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Message

from dify_wire.profile import HOST_VERSIONS
from fake_server.app import create_app
from fake_server.host_spec import HostError
from fake_server.runs.request import accepted_body
from fake_server.runs.run_body import run_body
from fake_server.settings import Settings
from fake_server.spec import load_host
from fake_server.workflow.model import App, Workflow
from tests.asgi import call, scope
from tests.each import each

ALL = HOST_VERSIONS[::-1]
MODEL = [version for version in ALL if version in ("1.13.3", "1.14.2")]
CONVERTED = [version for version in ALL if version not in MODEL]
GOOD = {"inputs": {}, "response_mode": "blocking", "user": "u"}
URL = "\n    For further information visit https://errors.pydantic.dev/2.12/v/"

spec_of = cache(load_host)


def refusal(version: str, body: dict[str, Any]) -> Any:
    """The body of the error, or None where the fields are right."""
    try:
        run_body(body, spec_of(version))
    except HostError as error:
        return dict(error.body)
    return None


@each(
    ("version", "changes", "field", "text"),
    [
        (version, *case)
        for version in CONVERTED
        for case in (
            ({"inputs": 5}, "inputs", "'int' object is not iterable"),
            (
                {"inputs": ["abc"]},
                "inputs",
                "dictionary update sequence element #0 has length 3; 2",
            ),
            ({"inputs": None}, "inputs", "Must not be null!"),
            ({"files": 5, "response_mode": "foo"}, "files", "'int' object is not iterable"),
            ({"response_mode": "foo"}, "response_mode", "foo"),
            ({"response_mode": None}, "response_mode", "None"),
        )
    ],
)
def test_older_versions_name_the_first_wrong_field(
    version: str, changes: dict[str, Any], field: str, text: str
) -> None:
    """In ``params``, or as the only key of ``errors`` [C: order_files_and_mode, mode_invalid]."""
    error = refusal(version, {**GOOD, **changes})
    if version == "1.10.1":
        assert list(error) == ["errors", "message"]
        assert list(error["errors"]) == [field]
        assert text in error["errors"][field]
    else:
        assert (error["params"], list(error)) == (field, ["code", "message", "params"])
        assert text in error["message"]


def problem(field: str, message: str, kind: str, value: str, of: str) -> str:
    return f"\n{field}\n  {message} [type={kind}, input_value={value}, input_type={of}]{URL}{kind}"


def no_dict(field: str, value: str, of: str) -> str:
    return problem(field, "Input should be a valid dictionary", "dict_type", value, of)


def bad_mode(value: str, of: str) -> str:
    message = "Input should be 'blocking' or 'streaming'"
    return problem("response_mode", message, "literal_error", value, of)


WRONG: list[tuple[dict[str, Any], list[str]]] = [
    ({"inputs": []}, [no_dict("inputs", "[]", "list")]),
    ({"inputs": None}, [no_dict("inputs", "None", "NoneType")]),
    ({"inputs": "it's"}, [no_dict("inputs", '"it\'s"', "str")]),
    ({"inputs": "a" * 49}, [no_dict("inputs", f"'{'a' * 24}...{'a' * 23}'", "str")]),
    ({"inputs": "猫" * 20}, [no_dict("inputs", f"'{'猫' * 8}...{'猫' * 7}'", "str")]),
    ({"inputs": "猫" * 16}, [no_dict("inputs", f"'{'猫' * 16}'", "str")]),
    ({"response_mode": True}, [bad_mode("True", "bool")]),
    ({"response_mode": ""}, [bad_mode("''", "str")]),
    ({"response_mode": ["blocking"]}, [bad_mode("['blocking']", "list")]),
    (
        {"inputs": 1e300, "files": [1, {}, None], "response_mode": 0},
        [
            no_dict("inputs", "1e+300", "float"),
            no_dict("files.0", "1", "int"),
            no_dict("files.2", "None", "NoneType"),
            bad_mode("0", "int"),
        ],
    ),
    (
        {"files": {"a": 1}},
        [problem("files", "Input should be a valid list", "list_type", "{'a': 1}", "dict")],
    ),
]


@each(("version", "changes", "expected"), [(version, *case) for version in MODEL for case in WRONG])
def test_later_versions_name_all_wrong_fields(
    version: str, changes: dict[str, Any], expected: list[str]
) -> None:
    """In pydantic's words [C: order_files_and_mode, mode_invalid, block_inputs_list]."""
    count = f"{len(expected)} validation error{'s' if len(expected) > 1 else ''}"
    assert refusal(version, {**GOOD, **changes}) == {
        "code": "invalid_param",
        "message": f"{count} for WorkflowRunPayload{''.join(expected)}",
        "status": 400,
    }


@pytest.mark.parametrize("version", MODEL)
def test_the_whole_body_is_the_value_of_a_missing_field(version: str) -> None:
    """[C: block_inputs_missing]."""
    body = {"response_mode": "blocking", "user": "alg123"}
    assert problem("inputs", "Field required", "missing", repr(body), "dict") in str(
        refusal(version, body)["message"]
    )


@each(
    ("version", "changes"),
    [(version, {"files": None}) for version in ALL]
    + [(version, {"inputs": []}) for version in CONVERTED]
    + [(version, {"response_mode": None}) for version in MODEL],
)
def test_what_counts_as_left_out(version: str, changes: dict[str, Any]) -> None:
    """[C: files_enabled_null, mode_null, block_inputs_list]."""
    fields = run_body({**GOOD, **changes}, spec_of(version))
    assert (fields.inputs, fields.files, fields.streaming) == ({}, [], False)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=60),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)


@pytest.mark.parametrize("version", ALL)
@given(st.dictionaries(st.sampled_from(["inputs", "response_mode", "user", "files"]), JSON))
def test_any_body_is_taken_or_refused(version: str, body: dict[str, Any]) -> None:
    """With an error whose text is no longer than its parts allow."""
    error = refusal(version, body)
    assert error is None or error.get("status", 400) in (400, 500)
    assert len(str(error)) < 2000


# The limit of active runs
# ---------------------------------------------------------------------------------------------


def accepts(version: str, limit: int, streaming: bool, blocking: int, streams: int) -> bool:
    """Whether an app of that limit takes one more run while others are being played."""
    workflow = Workflow("n", "", "id", {}, (), {}, max_active_requests=limit)
    app = App("app-id", "workflow", "n", "", workflow)  # type: ignore[arg-type]
    body = {**GOOD, "response_mode": "streaming" if streaming else "blocking"}

    def active(app_id: str, *, blocking: bool) -> int:
        assert app_id == "app-id"
        return only_blocking if blocking else only_blocking + streams

    only_blocking = blocking
    try:
        accepted_body(body, app, active, spec_of(version))
    except HostError as error:
        return f"requests allowed for app-id is {limit}." not in str(error.body["message"])
    return True


@given(
    limit=st.integers(0, 3),
    streaming=st.booleans(),
    blocking=st.integers(0, 3),
    streams=st.integers(0, 3),
)
def test_the_limit_of_active_runs(limit: int, streaming: bool, blocking: int, streams: int) -> None:
    """There is none in 0.6; it counts every run; from 1.13 on a stream counts twice when it begins,
    and not while it runs [C: limited_*, limit2_*].
    """
    for version in ALL:
        if not limit or version.startswith("0.6"):
            expected = True
        elif version in MODEL:
            expected = blocking + streaming < limit
        else:
            expected = blocking + streams < limit
        assert accepts(version, limit, streaming, blocking, streams) == expected, version


# A stream that is refused too late
# ---------------------------------------------------------------------------------------------

KEY = "app-key"
HEADERS = {"Host": "h", "Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
NO_PROMPT = json.dumps({**GOOD, "response_mode": "streaming"}).encode()


@pytest.mark.parametrize("version", ALL)
def test_a_stream_with_a_bad_variable(version: str) -> None:
    """An error response, or a ping and nothing else [C: stream_prompt_missing]."""
    app = create_app(Settings(api_keys=(KEY,), host_version=version, speed=None))
    got = call(app, "POST", "/v1/workflows/run", HEADERS, NO_PROMPT)
    if version in MODEL:
        assert (got.status, got.body) == (200, b"event: ping\n\n")
        assert got.header("content-type") == "text/event-stream; charset=utf-8"
    else:
        assert got.status == 400
        assert got.json()["message"] == "prompt is required in input form"


@pytest.mark.parametrize("version", MODEL)
def test_the_silence_ends_after_300_s(version: str) -> None:
    """Not before; meanwhile there are no pings [C: stream_prompt_missing]."""
    app = create_app(
        Settings(api_keys=(KEY,), host_version=version, clock="2024-05-01T00:00Z", speed=1.0)
    )
    sent: list[Message] = []

    async def play() -> None:
        async def receive() -> Message:
            if requests:
                return requests.pop()
            return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return]

        async def send(message: Message) -> None:
            sent.append(message)

        requests: list[Message] = [{"type": "http.request", "body": NO_PROMPT}]
        playing = asyncio.create_task(
            app(scope("POST", "/v1/workflows/run", HEADERS), receive, send)
        )
        for seconds in (0.0, 150.0, 149.9):
            app.host.clock.advance(seconds)
            await asyncio.sleep(0.02)
            assert not playing.done()
        app.host.clock.advance(0.2)
        await playing

    asyncio.run(play())
    bodies = [message["body"] for message in sent[1:] if message.get("body")]
    assert bodies == [b"event: ping\n\n"]


@pytest.mark.parametrize("version", ["0.15.3", "1.14.2"])
def test_an_address_that_is_not_reached_takes_its_time(version: str, tmp_path: Path) -> None:
    """The host tries three times [C: files_enabled_badurl: 3.6 s]."""
    app = create_app(Settings(api_keys=(KEY,), host_version=version, speed=100.0))
    file = {"type": "image", "transfer_method": "remote_url", "url": "ftp://x"}
    body = json.dumps({**GOOD, "inputs": {"prompt": "x"}, "files": [file]}).encode()
    got = call(app, "POST", "/v1/workflows/run", HEADERS, body)
    assert got.json()["message"] == "Reached maximum retries (3) for URL ftp://x"
    assert got.status == 400
