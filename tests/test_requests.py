"""The checks of a run's request: each refusal in the host's words, and of two the one that the host
finds first.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dify_wire.app_kind import AppKind
from fake_server.host_spec import HostError, HostSpec
from fake_server.http.known import authorised_app
from fake_server.http.request import json_object
from fake_server.runs.file_sources import FileSources
from fake_server.runs.request import RunRequest, accepted_body, run_request
from fake_server.runs.run_body import user_text
from fake_server.runs.values import InputFile
from fake_server.workflow.model import App, StartVariable, Workflow
from tests.each import each

KEY = "app-key"
JSON_TYPE = "application/json"
MODELS = [
    "chilloutmix_NiPrunedFp32Fix",
    "dosmix_",
    "ghostmix_v20Bakedvae",
    "rundiffusionFX_v10",
    "v1-5-pruned-emaonly",
]
GOOD: dict[str, Any] = {
    "inputs": {"prompt": "a cat"},
    "response_mode": "blocking",
    "user": "alg123",
}

NOT_FOUND = (
    "The requested URL was not found on the server. If you entered the URL manually please check "
    "your spelling and "
    "try again."
)
NOT_UNDERSTOOD = "The browser (or proxy) sent a request that this server could not understand."
NOT_JSON = (
    "Did not attempt to load JSON data because the request Content-Type was not 'application/json'."
)
INTERNAL = {"message": "Internal Server Error", "code": "unknown"}


def refused(code: str, message: str, status: int = 400) -> dict[str, Any]:
    return {"code": code, "message": message, "status": status}


def invalid(message: str) -> dict[str, Any]:
    return refused("invalid_param", message)


def invalid_field(field: str, message: str) -> dict[str, Any]:
    """The other shape: it names the field and has no status."""
    return {"code": "invalid_param", "message": message, "params": field}


def run(
    body: Mapping[str, Any], app: App, spec: HostSpec, sources: FileSources | None = None
) -> RunRequest:
    """What becomes of ``body`` where no other run is played."""
    accepted = accepted_body(body, app, lambda app_id, *, blocking: 0, spec)
    return run_request(accepted, sources or FileSources(), spec)


@pytest.fixture(scope="session")
def app(default_workflow: Workflow) -> App:
    return App("id", AppKind.WORKFLOW, "main", "", default_workflow)


Checked = Callable[..., RunRequest]


@pytest.fixture(scope="session")
def checked(app: App, host_spec: HostSpec) -> Checked:
    """The request of a good body with these keys changed; ``...`` takes a key out."""

    def check(at: App = app, **changes: Any) -> RunRequest:
        body = {key: value for key, value in {**GOOD, **changes}.items() if value is not ...}
        return run(body, at, host_spec)

    return check


def seen(error: HostError) -> tuple[int, list[tuple[str, Any]]]:
    """Status and body with its keys in order."""
    return error.status, list(error.body.items())


def expected(status: int, body: Mapping[str, Any]) -> tuple[int, list[tuple[str, Any]]]:
    return status, list(body.items())


# Step 1 to 3: the key
# -----------------------------------------------------------------------------------------------

HEADER_MISSING = refused(
    "unauthorized", "Authorization header must be provided and start with 'Bearer'", 401
)
SCHEME_WRONG = refused("unauthorized", "Authorization scheme must be 'Bearer'", 401)
TOKEN_UNKNOWN = refused("unauthorized", "Access token is invalid", 401)


@pytest.mark.parametrize(
    ("header", "body"),
    [
        (None, HEADER_MISSING),
        ("", HEADER_MISSING),
        ("Bearer", HEADER_MISSING),
        ("Bearer ", HEADER_MISSING),
        (KEY, HEADER_MISSING),
        (f"Bearer\t{KEY}", HEADER_MISSING),
        ("Basic abc", SCHEME_WRONG),
        (f"Token {KEY}", SCHEME_WRONG),
        ("Bearer nope", TOKEN_UNKNOWN),
        (f"Bearer {KEY} more", TOKEN_UNKNOWN),
        (f"Bearer {KEY}\t", TOKEN_UNKNOWN),
        (f'Bearer "{KEY}"', TOKEN_UNKNOWN),
        (f"Bearer {KEY.upper()}", TOKEN_UNKNOWN),
        ("Bearer \xe4\xb8\x80", TOKEN_UNKNOWN),
    ],
)
def test_a_header_that_opens_nothing(
    app: App, host_spec: HostSpec, header: str | None, body: dict[str, Any]
) -> None:
    """FACTS 3, steps 1 and 2."""
    value = None if header is None else header.encode("latin-1")
    with pytest.raises(HostError) as caught:
        authorised_app(value, {KEY: app}, host_spec)
    assert seen(caught.value) == expected(body["status"], body)


@pytest.mark.parametrize(
    "header",
    [
        f"Bearer {KEY}",
        f"bearer {KEY}",
        f"BEARER {KEY}",
        f"Bearer  {KEY}",
        f"Bearer {KEY} ",
        f"\tBearer {KEY}",
    ],
)
def test_a_header_that_opens_the_app(app: App, host_spec: HostSpec, header: str) -> None:
    """FACTS 3: the scheme in any case, spaces between and after."""
    assert authorised_app(header.encode(), {KEY: app}, host_spec) is app


@pytest.mark.parametrize("kind", [AppKind.DISABLED, AppKind.DELETED])
def test_an_app_that_is_not_served_is_not_found(
    app: App, host_spec: HostSpec, kind: AppKind
) -> None:
    """FACTS 3, step 3: 404 as JSON, not the page of an unknown path."""
    with pytest.raises(HostError) as caught:
        authorised_app(f"Bearer {KEY}".encode(), {KEY: app._replace(kind=kind)}, host_spec)
    assert seen(caught.value) == expected(404, refused("not_found", NOT_FOUND, 404))


# Step 4: JSON
# --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content_type",
    [
        "",
        "text/plain",
        "text/json",
        "json",
        "application/jsonx",
        "application/x-www-form-urlencoded",
        "application/octet-stream",
        "application/xml; x=application/json",
        "image/svg+json",
        "multipart/form-data; boundary=x",
    ],
)
def test_another_content_type_is_refused(host_spec: HostSpec, content_type: str) -> None:
    """FACTS 3, step 4: whatever the body."""
    with pytest.raises(HostError) as caught:
        json_object(b"{", content_type, host_spec.errors)
    assert seen(caught.value) == expected(415, refused("unsupported_media_type", NOT_JSON, 415))


@pytest.mark.parametrize(
    "content_type",
    [
        JSON_TYPE,
        "application/json; charset=gbk",
        "Application/JSON",
        " application/json ;",
        "application/vnd.api+json",
    ],
)
def test_a_json_content_type_is_taken(host_spec: HostSpec, content_type: str) -> None:
    """Any case, any parameters, any ``application/*+json``."""
    assert json_object(b'{"a": 1}', content_type, host_spec.errors) == {"a": 1}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" \n",
        b"{",
        b'{"a": 1,}',
        b"{'a': 1}",
        b'{"a": 1} x',
        b"<html>",
        b'{"user": "\xff"}',
        '{"user": "一个男人"}'.encode("gbk"),
        b'{"a": ' + b"1" * 5000 + b"}",
        b'{"a": "' + b"[" * 2000,
        b"{" + b"[" * 2000,
        b"{}" + b"[" * 2000,
        b"x" + b"[" * 2000,
    ],
)
def test_a_body_that_is_no_json(host_spec: HostSpec, body: bytes) -> None:
    """FACTS 3, step 4: 400 in the words of the web framework, wherever in the body it goes
    wrong.
    """
    with pytest.raises(HostError) as caught:
        json_object(body, JSON_TYPE, host_spec.errors)
    assert seen(caught.value) == expected(400, refused("bad_request", NOT_UNDERSTOOD))


@pytest.mark.parametrize("body", [b"null", b"[]", b"[1]", b'"abc"', b"5", b"true", b"NaN"])
def test_json_that_is_no_object(host_spec: HostSpec, body: bytes) -> None:
    """FACTS 3, step 4: 500, ``message`` before ``code`` and no status."""
    with pytest.raises(HostError) as caught:
        json_object(body, JSON_TYPE, host_spec.errors)
    assert seen(caught.value) == expected(500, INTERNAL)


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b'\xef\xbb\xbf{"a": 1}', {"a": 1}),
        ('{"a": "猫"}'.encode("utf-16"), {"a": "猫"}),
        ('{"a": "猫"}'.encode("utf-32-le"), {"a": "猫"}),
        (b'{"a": 1, "a": 2}', {"a": 2}),
        (rb'{"a": "\u732b\ud83d"}', {"a": "猫\ud83d"}),
        (b'{"a": Infinity}', {"a": float("inf")}),
        (b'{"a": ' + b"[" + b"[]," * 2000 + b"[]]}", {"a": [[]] * 2001}),
        (b'{"a": "' + b"[" * 2000 + rb"\"" + b'{"}', {"a": "[" * 2000 + '"{'}),
        (('{"a": "' + "\u5b5b" * 2000 + '"}').encode("utf-16"), {"a": "\u5b5b" * 2000}),
    ],
)
def test_json_as_python_reads_it(host_spec: HostSpec, body: bytes, value: dict[str, Any]) -> None:
    """FACTS 3: BOM, UTF-16, keys given twice, escapes; brackets side by side or in texts are no
    nesting.
    """
    assert json_object(body, JSON_TYPE, host_spec.errors) == value


def nested(depth: int) -> bytes:
    return b'{"a": ' + b"[" * (depth - 1) + b"]" * (depth - 1) + b"}"


def verdict(body: bytes, spec: HostSpec) -> str:
    """What becomes of ``body`` in a thread of its own, where the stack is as empty as can be."""
    found: list[str] = []

    def check() -> None:
        try:
            json_object(body, JSON_TYPE, spec.errors)
            found.append("taken")
        except HostError as error:
            found.append(error.name)

    thread = threading.Thread(target=check)
    thread.start()
    thread.join()
    return found[0]


@pytest.mark.parametrize(
    ("body", "becomes"),
    [
        (nested(900), "taken"),
        (nested(960), "internal_error"),
        (nested(5000), "internal_error"),
        (nested(200_000), "internal_error"),
        (nested(960)[:961], "internal_error"),
        (nested(900)[:900], "json_malformed"),
        (nested(960).replace(b"]" * 900, b"x"), "internal_error"),
        (nested(960).decode().encode("utf-16"), "internal_error"),
    ],
    ids=[
        "900",
        "960",
        "5000",
        "200000",
        "960 unfinished",
        "900 unfinished",
        "960 broken inside",
        "960 in UTF-16",
    ],
)
def test_absurd_nesting_breaks_the_host(host_spec: HostSpec, body: bytes, becomes: str) -> None:
    """[C: deep_json]: 500 from a depth that does not depend on what this Python bears."""
    assert verdict(body, host_spec) == becomes


# Step 5 and 6: the user
# ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("user", [..., None, "", 0, 0.0, False, [], {}])
def test_a_falsy_user_is_none(checked: Checked, user: Any) -> None:
    """FACTS 3, step 5."""
    with pytest.raises(HostError) as caught:
        checked(user=user)
    assert seen(caught.value) == expected(400, invalid("Arg user must be provided."))


@pytest.mark.parametrize(
    ("user", "text"),
    [
        ("alg123", "alg123"),
        (" ", " "),
        (123, "123"),
        (1.5, "1.5"),
        (1e300, "1e+300"),
        (True, "True"),
        (["a"], "['a']"),
        ({"a": 1}, "{'a': 1}"),
        ([None], "[None]"),
        (float("nan"), "nan"),
        ("é" * 255, "é" * 255),
        ("😀" * 255, "😀" * 255),
    ],
)
def test_a_truthy_user_is_taken_as_pythons_text(checked: Checked, user: Any, text: str) -> None:
    """FACTS 3, step 5; the length is counted in characters."""
    assert checked(user=user).user == text


@pytest.mark.parametrize(
    ("user", "status", "body"),
    [
        ("x" * 256, 500, INTERNAL),
        (["x" * 254], 500, INTERNAL),
        ("a\x00", 400, invalid("A string literal cannot contain NUL (0x00) characters.")),
        ("\x00" * 300, 400, invalid("A string literal cannot contain NUL (0x00) characters.")),
        (
            "a\ud83d",
            400,
            invalid(
                r"'utf-8' codec can't encode character '\ud83d' in position 1: surrogates not "
                r"allowed"
            ),
        ),
    ],
    ids=["too long", "too long as text", "NUL", "NUL and too long", "lone surrogate"],
)
def test_a_user_that_the_database_refuses(
    checked: Checked, user: Any, status: int, body: dict[str, Any]
) -> None:
    """FACTS 3, step 6: the end user's row cannot be written."""
    with pytest.raises(HostError) as caught:
        checked(user=user)
    assert seen(caught.value) == expected(status, body)


def test_a_user_may_be_left_out_where_none_is_required(host_spec: HostSpec) -> None:
    """Other operations take a request without a user, but not a broken user."""
    assert user_text("", False, host_spec) is None
    with pytest.raises(HostError):
        user_text("x" * 256, False, host_spec)


# Step 7 to 9
# --------------------------------------------------------------------------------------------------

PROMPT_REQUIRED = invalid("prompt is required in input form")


@pytest.mark.parametrize(
    ("inputs", "body"),
    [
        (..., invalid_field("inputs", "Missing required parameter in the JSON body")),
        (None, invalid_field("inputs", "Must not be null!")),
        (5, invalid_field("inputs", "'int' object is not iterable")),
        (1.5, invalid_field("inputs", "'float' object is not iterable")),
        (True, invalid_field("inputs", "'bool' object is not iterable")),
        (
            "abc",
            invalid_field(
                "inputs", "dictionary update sequence element #0 has length 1; 2 is required"
            ),
        ),
        (
            ["abc"],
            invalid_field(
                "inputs", "dictionary update sequence element #0 has length 3; 2 is required"
            ),
        ),
        (
            ["ab", "c"],
            invalid_field(
                "inputs", "dictionary update sequence element #1 has length 1; 2 is required"
            ),
        ),
        (
            [1],
            invalid_field(
                "inputs", "cannot convert dictionary update sequence element #0 to a sequence"
            ),
        ),
        ([[["a"], 1]], invalid_field("inputs", "unhashable type: 'list'")),
        ([], PROMPT_REQUIRED),
        ("", PROMPT_REQUIRED),
        ({}, PROMPT_REQUIRED),
        (["ab"], PROMPT_REQUIRED),
    ],
)
def test_inputs_are_whatever_python_makes_a_dict_of(
    checked: Checked, inputs: Any, body: dict[str, Any]
) -> None:
    """FACTS 3, step 8: the same conversion, and the text of its exception."""
    with pytest.raises(HostError) as caught:
        checked(inputs=inputs)
    assert seen(caught.value) == expected(400, body)


def test_inputs_may_be_pairs(checked: Checked) -> None:
    """[C: block_inputs_list]: of a name that is given twice the last counts."""
    assert checked(inputs=[["prompt", "x"], ["prompt", "y"]]).inputs["prompt"] == "y"


@pytest.mark.parametrize(
    ("mode", "shown"),
    [
        ("foo", "foo"),
        ("", ""),
        (None, "None"),
        ("BLOCKING", "BLOCKING"),
        ("blocking ", "blocking "),
        (1, "1"),
        (True, "True"),
        (["streaming"], "['streaming']"),
        ({}, "{}"),
        ("{value}", "{value}"),
    ],
)
def test_an_unknown_mode_is_shown_as_pythons_text(checked: Checked, mode: Any, shown: str) -> None:
    """FACTS 3, step 8; a value with braces is shown as it is."""
    with pytest.raises(HostError) as caught:
        checked(response_mode=mode)
    assert seen(caught.value) == expected(
        400, invalid_field("response_mode", f"{shown} is not a valid choice")
    )


@pytest.mark.parametrize(
    ("mode", "streaming"), [("blocking", False), ("streaming", True), (..., False)]
)
def test_a_mode_is_one_of_two_or_left_out(checked: Checked, mode: Any, streaming: bool) -> None:
    """[C: mode_missing]: without it the host answers as if blocking."""
    assert checked(response_mode=mode).streaming is streaming


@pytest.mark.parametrize(
    ("files", "kind"), [(5, "int"), (True, "bool"), (1.5, "float"), (0, "int")]
)
def test_files_have_to_be_iterable(checked: Checked, files: Any, kind: str) -> None:
    """FACTS 3, step 8: even where uploads are off."""
    with pytest.raises(HostError) as caught:
        checked(files=files)
    assert seen(caught.value) == expected(
        400, invalid_field("files", f"'{kind}' object is not iterable")
    )


@pytest.mark.parametrize("files", [..., None, [], {}, "abc", [5], {"type": "video"}])
def test_other_files_are_ignored_while_uploads_are_off(checked: Checked, files: Any) -> None:
    """[C: files_disabled_*]: nobody looks at them, and ``sys.files`` is empty."""
    assert checked(files=files).inputs["sys.files"] == []


def test_files_are_checked_where_uploads_are_on(app: App, host_spec: HostSpec) -> None:
    """What the check makes of them is ``sys.files``; it is told the app's own limits."""
    assert app.workflow is not None
    image = {"enabled": True, "number_limits": 2, "transfer_methods": ["remote_url"]}
    enabled = app._replace(
        workflow=replace(app.workflow, features={"file_upload": {"image": image}})
    )
    address = "https://a.example/b.png"
    file = {"type": "image", "transfer_method": "remote_url", "url": address}
    request = run({**GOOD, "files": [file]}, enabled, host_spec)
    assert request.inputs["sys.files"] == [InputFile("remote_url", address)]
    assert run({**GOOD, "files": None}, enabled, host_spec).inputs["sys.files"] == []
    with pytest.raises(HostError) as caught:
        run({**GOOD, "files": [file] * 3}, enabled, host_spec)
    assert caught.value.body["message"] == "Number of image files exceeds the maximum limit 2"


# Step 11: the variables
# ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prompt", [..., None, "", 0, 0.0, False, [], {}])
def test_a_falsy_required_variable_is_missing(checked: Checked, prompt: Any) -> None:
    """FACTS 3, step 11."""
    inputs = {} if prompt is ... else {"prompt": prompt}
    with pytest.raises(HostError) as caught:
        checked(inputs=inputs)
    assert seen(caught.value) == expected(400, PROMPT_REQUIRED)


@pytest.mark.parametrize("value", [123, 1.5, True, ["a"], {"a": 1}, float("nan")])
@pytest.mark.parametrize("name", ["prompt", "model_name"])
def test_a_variable_has_to_be_a_text(checked: Checked, name: str, value: Any) -> None:
    """FACTS 3, step 11."""
    with pytest.raises(HostError) as caught:
        checked(inputs={"prompt": "x", name: value})
    assert seen(caught.value) == expected(400, invalid(f"{name} in input form must be a string"))


@pytest.mark.parametrize("letter", ["x", "猫", "😀"])
def test_the_length_of_a_prompt_is_counted_in_code_points(checked: Checked, letter: str) -> None:
    """FACTS 3, step 11: equal to the limit is fine, one more is not."""
    assert checked(inputs={"prompt": letter * 1000}).inputs["prompt"] == letter * 1000
    with pytest.raises(HostError) as caught:
        checked(inputs={"prompt": letter * 1001})
    assert seen(caught.value) == expected(
        400, invalid("prompt in input form must be less than 1000 characters")
    )


@pytest.mark.parametrize("model", ["nope", "DOSMIX_", "dosmix_ ", "x" * 49])
def test_an_unknown_model_is_refused_with_the_list(checked: Checked, model: str) -> None:
    """FACTS 3, step 11: a select has no length, and its options are shown as Python shows a
    list.
    """
    with pytest.raises(HostError) as caught:
        checked(inputs={"prompt": "x", "model_name": model})
    message = f"model_name in input form must be one of the following: {MODELS}"
    assert seen(caught.value) == expected(400, invalid(message))


@pytest.mark.parametrize("model", [..., None, "", 0, False, []])
def test_a_falsy_optional_variable_is_empty(checked: Checked, model: Any) -> None:
    """FACTS 3, step 11: no default of the spec is applied."""
    inputs = {"prompt": "x"} if model is ... else {"prompt": "x", "model_name": model}
    assert checked(inputs=inputs).inputs == {"prompt": "x", "model_name": "", "sys.files": []}


def test_a_default_of_the_app_is_applied(app: App, checked: Checked) -> None:
    """[C: g_default_stream]: where the start variable has one."""
    assert app.workflow is not None
    style = StartVariable("style", "text-input", False, None, None, "oil", {})
    own = app._replace(workflow=replace(app.workflow, variables=(style,)))
    assert checked(own, inputs={}).inputs["style"] == "oil"
    assert checked(own, inputs={"style": "ink"}).inputs["style"] == "ink"


@pytest.mark.parametrize(
    ("prompt", "cleaned"),
    [(" ", " "), ("a\x00b", "ab"), ("\x00", ""), ("a\nb", "a\nb"), ("\ud83d", "\ud83d")],
)
def test_a_prompt_is_kept_but_for_nul(checked: Checked, prompt: str, cleaned: str) -> None:
    """[C: block_prompt_nul]: NUL characters are taken out, nothing else is."""
    assert checked(inputs={"prompt": prompt}).inputs["prompt"] == cleaned


def test_what_the_app_does_not_know_is_dropped(checked: Checked) -> None:
    """[C: extra_inputs, extra_body_keys]: without a word; variables in their order, ``sys.files``
    last.
    """
    request = checked(
        inputs={"zzz": 1, "model_name": "dosmix_", "prompt": "x", "sys.files": "y"}, zzz=1
    )
    assert list(request.inputs.items()) == [
        ("prompt", "x"),
        ("model_name", "dosmix_"),
        ("sys.files", []),
    ]


# The order
# --------------------------------------------------------------------------------------------------


class Attempt(NamedTuple):
    """All that a request is made of before it is checked."""

    header: bytes | None
    content_type: str
    raw: bytes | None
    body: dict[str, Any]
    app: App


class Wrong(NamedTuple):
    """One thing wrong with a request: the host's step that finds it, the error that it is, and how
    it is done.
    """

    step: float
    error: str
    spoil: Callable[[Attempt], Attempt]


def _body(attempt: Attempt, **changes: Any) -> Attempt:
    return attempt._replace(body={**attempt.body, **changes})


def _inputs(attempt: Attempt, **changes: Any) -> Attempt:
    inputs = attempt.body["inputs"]
    return _body(attempt, inputs={**inputs, **changes}) if isinstance(inputs, dict) else attempt


def _app(attempt: Attempt, **changes: Any) -> Attempt:
    return attempt._replace(app=attempt.app._replace(**changes))


ERRORS = [
    Wrong(1, "auth_header_missing", lambda a: a._replace(header=None)),
    Wrong(2, "token_unknown", lambda a: a._replace(header=b"Bearer nope")),
    Wrong(3, "app_disabled", partial(_app, kind=AppKind.DISABLED)),
    Wrong(4.1, "content_type_not_json", lambda a: a._replace(content_type="text/plain")),
    Wrong(4.2, "json_malformed", lambda a: a._replace(raw=b"{")),
    Wrong(4.2, "internal_error", lambda a: a._replace(raw=b"[]")),
    Wrong(5, "user_missing", partial(_body, user="")),
    Wrong(6, "internal_error", partial(_body, user="x" * 256)),
    Wrong(7, "not_workflow_app", partial(_app, kind=AppKind.CHAT)),
    Wrong(8.1, "parameter_null", partial(_body, inputs=None)),
    Wrong(8.2, "parameter_invalid", partial(_body, files=5)),
    Wrong(8.3, "choice_invalid", partial(_body, response_mode="foo")),
    Wrong(9, "workflow_unpublished", partial(_app, kind=AppKind.UNPUBLISHED, workflow=None)),
    Wrong(10, "file_not_dict", partial(_body, files=["x"])),
    Wrong(11.1, "input_required", partial(_inputs, prompt="")),
    Wrong(11.1, "input_too_long", partial(_inputs, prompt="x" * 1001)),
    Wrong(11.2, "input_not_in_options", partial(_inputs, model_name="nope")),
]
PAIRS = [(a, b) for a, b in itertools.combinations(ERRORS, 2) if a.step != b.step]


def found(attempt: Attempt, spec: HostSpec) -> str:
    """The name of the error that an attempt ends with, by the way of a request."""
    try:
        app = authorised_app(attempt.header, {KEY: attempt.app}, spec)
        raw = json.dumps(attempt.body).encode() if attempt.raw is None else attempt.raw
        run(json_object(raw, attempt.content_type, spec.errors), app, spec)
    except HostError as error:
        return error.name
    return "none"


@pytest.fixture(scope="session")
def good_attempt(app: App) -> Attempt:
    """Nothing is wrong with it, and its app takes files."""
    assert app.workflow is not None
    image = {"enabled": True, "number_limits": 3, "transfer_methods": ["remote_url"]}
    takes_files = app._replace(
        workflow=replace(app.workflow, features={"file_upload": {"image": image}})
    )
    return Attempt(f"Bearer {KEY}".encode(), JSON_TYPE, None, GOOD, takes_files)


@pytest.mark.parametrize("wrong", ERRORS, ids=lambda wrong: f"{wrong.step} {wrong.error}")
def test_one_error_alone_is_found(good_attempt: Attempt, host_spec: HostSpec, wrong: Wrong) -> None:
    """Each of the errors that the order is made of is one."""
    assert found(good_attempt, host_spec) == "none"
    assert found(wrong.spoil(good_attempt), host_spec) == wrong.error


@each(("first", "second"), PAIRS, ids=lambda wrong: f"{wrong.step} {wrong.error}")
def test_of_two_errors_the_host_finds_the_earlier(
    good_attempt: Attempt, host_spec: HostSpec, first: Wrong, second: Wrong
) -> None:
    """FACTS 3: the order is strict, whichever two things are wrong at once."""
    for one, other in ((first, second), (second, first)):
        spoiled = other.spoil(one.spoil(good_attempt))
        if (
            first.spoil(spoiled) == spoiled == second.spoil(spoiled)
        ):  # the two do not exclude each other
            assert found(spoiled, host_spec) == first.error


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=4,
)


@given(
    st.dictionaries(st.sampled_from(["inputs", "response_mode", "user", "files"]), JSON_VALUES)
    | st.builds(
        lambda prompt, model: {**GOOD, "inputs": {"prompt": prompt, "model_name": model}},
        *[JSON_VALUES] * 2,
    )
)
def test_any_object_is_run_or_refused(app: App, host_spec: HostSpec, body: dict[str, Any]) -> None:
    """No value of JSON makes the checks stumble, and what they let through is clean."""
    with contextlib.suppress(HostError):
        request = run(body, app, host_spec)
        assert 0 < len(request.user) <= 255
        assert list(request.inputs) == ["prompt", "model_name", "sys.files"]
        assert request.inputs["model_name"] in ("", *MODELS)
