"""Facts of the host that no kept exchange shows (docs/FACTS.md names what was observed): asked over
a socket.

Each is said by the recorded exchange whose answer it gets, with the difference where there is one.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest

from tests.compared import differences
from tests.recorded import KEYS, SECRET_KEY, Exchange, Signed, app_arguments, exchanges
from tests.serving import RawAnswer, RunningServer, raw_exchange, running_server

pytestmark = pytest.mark.server

_CHINESE = "一个胸有成竹的男人"
_BODY: Mapping[str, Any] = {
    "inputs": {"prompt": _CHINESE},
    "response_mode": "blocking",
    "user": "alg123",
}
_BOUNDARY = "----facts"


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with running_server(
        "--speed", "instant", "--secret-key", SECRET_KEY, *app_arguments()
    ) as running:
        yield running


def _ask(server: RunningServer, request: bytes) -> RawAnswer:
    return raw_exchange(server.host, server.port, request)


def request(
    method: str, target: str, *headers: str, body: bytes = b"", app: str | None = "main"
) -> bytes:
    """A request as curl would send it, with the key of ``app``."""
    wanted = [f"{method} {target} HTTP/1.1", "Host: 127.0.0.1:6060", *headers]
    wanted += [f"Authorization: Bearer {KEYS[app]}"] if app else []
    wanted += [f"Content-Length: {len(body)}"] if body else []
    return "\r\n".join([*wanted, "", ""]).encode() + body


def run(
    *headers: str, app: str | None = "main", target: str = "/v1/workflows/run", **changes: Any
) -> bytes:
    """A run of ``app`` whose body is the usual one with ``changes``."""
    body = json.dumps({**_BODY, **changes}, ensure_ascii=False).encode("utf-8", "surrogatepass")
    return raw_run(body, *headers, app=app, target=target)


def raw_run(
    body: bytes, *headers: str, app: str | None = "main", target: str = "/v1/workflows/run"
) -> bytes:
    return request("POST", target, "Content-Type: application/json", *headers, body=body, app=app)


def upload(*parts: tuple[str, str, str]) -> bytes:
    """Parts of a form as (name, file name, content)."""
    body = "".join(
        f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"; filename="{file}"\r\n'
        f"Content-Type: image/png\r\n\r\n{content}\r\n"
        for name, file, content in parts
    )
    content_type = f"Content-Type: multipart/form-data; boundary={_BOUNDARY}"
    return request(
        "POST", "/v1/files/upload", content_type, body=f"{body}--{_BOUNDARY}--\r\n".encode()
    )


def stop(task_id: str) -> bytes:
    body = json.dumps({"user": "alg123"}).encode()
    return raw_run(body, target=f"/v1/workflows/tasks/{task_id}/stop")


def like(name: str, body: Mapping[str, Any] | str | None = None, **headers: str) -> Exchange:
    """The recorded answer ``name`` with another JSON (or HTML) body, or with other values of
    ``headers``.
    """
    exchange = exchanges()[name]
    values = {key.replace("_", "-"): value for key, value in headers.items()}
    exchange = replace(
        exchange,
        headers=tuple((key, values.get(key.lower(), value)) for key, value in exchange.headers),
    )
    if body is None:
        return exchange
    return replace(
        exchange, body=(body if isinstance(body, str) else json.dumps(body) + "\n").encode()
    )


def invalid(message: str, status: int = 400) -> Exchange:
    return like(
        "block_prompt_missing", {"code": "invalid_param", "message": message, "status": status}
    )


_OK = like("block_ok_doc_example")
_PAGE = (
    "<html>\r\n<head><title>{0}</title></head>\r\n<body>\r\n<center><h1>{1}</h1></center>\r\n"
    "{2}<hr><center>nginx/1.22.1</center>\r\n</body>\r\n</html>\r\n"
)

_FACTS: dict[str, tuple[bytes, Exchange]] = {
    # transport
    "gzip": (run("Accept-Encoding: gzip"), _OK),
    "cors_post_null": (run("Origin: null"), like("cors_post", access_control_allow_origin="null")),
    "path_lead_double_slash": (run(target="//v1/workflows/run"), _OK),
    "path_encoded": (run(target="/v1/%77orkflows/run"), _OK),
    "path_query": (run(target="/v1/workflows/run?user=x&response_mode=streaming"), _OK),
    "method_FOO": (request("FOO", "/v1/workflows/run"), like("method_PUT")),
    "method_PATCH": (request("PATCH", "/v1/workflows/run"), like("method_PUT")),
    "method_TRACE": (
        request("TRACE", "/v1/workflows/run"),
        replace(
            like("no_host", _PAGE.format("405 Not Allowed", "405 Not Allowed", "")),
            status=405,
            reason="Not Allowed",
        ),
    ),
    "long_header": (
        run(f"X-Long: {'a' * 40_000}"),
        like(
            "no_host",
            _PAGE.format(
                "400 Request Header Or Cookie Too Large",
                "400 Bad Request",
                "<center>Request Header Or Cookie Too Large</center>\r\n",
            ),
        ),
    ),
    "body_14M": (run(inputs={"prompt": "a" * (14 << 20)}), like("block_prompt_len1001")),
    "get_workflows": (request("GET", "/v1/workflows"), like("get_unknown")),
    "sib_logs": (request("GET", "/v1/workflows/logs"), like("get_unknown")),
    "post_console": (request("POST", "/console/api/apps", app=None), like("get_unknown")),
    # authorisation
    "auth_lower": (run(f"Authorization: bearer {KEYS['main']}", app=None), _OK),
    "auth_upper": (run(f"Authorization: BEARER {KEYS['main']}", app=None), _OK),
    "auth_tab": (run(f"Authorization: Bearer\t{KEYS['main']}", app=None), like("auth_bearer_only")),
    "auth_token_scheme": (
        run(f"Authorization: Token {KEYS['main']}", app=None),
        like("auth_basic"),
    ),
    "auth_quotes": (run(f'Authorization: Bearer "{KEYS["main"]}"', app=None), like("auth_unknown")),
    "app_deleted": (run(app="deleted"), like("api_disabled")),
    "app_status_disabled": (run(app="disabled"), like("api_disabled")),
    "chat_app_key_bad_body": (
        raw_run(b'{"user": "alg123", "inputs": 5}', app="chat"),
        like("chat_app_key"),
    ),
    # the body
    "body_utf16": (raw_run(json.dumps(_BODY).encode("utf-16")), _OK),
    "body_escaped": (raw_run(json.dumps(_BODY).encode()), _OK),
    "body_trailing_comma": (raw_run(b'{"user": "alg123",}'), like("body_malformed")),
    "body_extra_data": (raw_run(json.dumps(_BODY).encode() + b"{}"), like("body_malformed")),
    "user_true": (run(user=True), _OK),
    "user_space": (run(user=" "), _OK),
    "user_null": (run(user=None), like("user_missing")),
    "user_false": (run(user=False), like("user_missing")),
    "user_nul": (
        run(user="a\x00b"),
        invalid("A string literal cannot contain NUL (0x00) characters."),
    ),
    "mode_chinese": (
        run(response_mode="阻塞"),
        like(
            "mode_invalid",
            {
                "code": "invalid_param",
                "message": "阻塞 is not a valid choice",
                "params": "response_mode",
            },
        ),
    ),
    "mode_number": (
        run(response_mode=1),
        like(
            "mode_invalid",
            {
                "code": "invalid_param",
                "message": "1 is not a valid choice",
                "params": "response_mode",
            },
        ),
    ),
    "inputs_pairs": (run(inputs=[["prompt", "x"]]), _OK),
    "inputs_of_two_letters": (run(inputs=["ab"]), like("block_prompt_missing")),
    "files_junk": (run(files="abc"), _OK),
    # the variables
    "block_prompt_empty": (run(inputs={"prompt": ""}), like("block_prompt_missing")),
    "block_prompt_null": (run(inputs={"prompt": None}), like("block_prompt_missing")),
    "block_prompt_space": (run(inputs={"prompt": " "}), _OK),
    "block_prompt_len1000": (run(inputs={"prompt": "😀" * 1000}), _OK),
    "block_model_null": (run(inputs={"prompt": "x", "model_name": None}), _OK),
    "block_model_number": (
        run(inputs={"prompt": "x", "model_name": 5}),
        invalid("model_name in input form must be a string"),
    ),
    "stream_prompt_missing": (
        run(inputs={}, response_mode="streaming"),
        like("block_prompt_missing"),
    ),
    "stream_unpublished": (run(app="unpublished", response_mode="streaming"), like("unpublished")),
    # siblings
    "stop_finished": (stop("9a019c37-4669-485c-9261-5867ea017733"), like("stop_unknown")),
    "stop_nonuuid": (stop("not-a-uuid"), like("stop_unknown")),
    "sib_conversations": (request("GET", "/v1/conversations"), like("sib_post_chat")),
    "sib_messages": (request("GET", "/v1/messages"), like("sib_post_chat")),
    "sib_datasets": (request("GET", "/v1/datasets"), like("auth_unknown")),
    "sib_parameters_unpublished": (
        request("GET", "/v1/parameters", app="unpublished"),
        like(
            "sib_post_completion",
            {
                "code": "app_unavailable",
                "message": "App unavailable, please check your app configurations.",
                "status": 400,
            },
        ),
    ),
}


@pytest.mark.parametrize("name", _FACTS)
def test_fact(server: RunningServer, name: str) -> None:
    sent, expected = _FACTS[name]
    found = differences(expected, _ask(server, sent))
    assert not found, "\n".join(found)


def test_cors_401(server: RunningServer) -> None:
    """A refusal may be read by the page that asked."""
    answer = _ask(server, run("Origin: https://shop.example", app=None))
    assert answer.status == 401
    assert answer.header("access-control-allow-origin") == "https://shop.example"
    assert answer.header("vary") == "Origin"


def test_expect100(server: RunningServer) -> None:
    answer = _ask(server, run("Expect: 100-continue"))
    assert [line.split()[:2] for line in answer.interim] == [["HTTP/1.1", "100"]]
    assert differences(_OK, answer) == []


_TEXTS: dict[str, tuple[bytes, str]] = {
    "stream_user_chinese": (
        run(user="用户😀", response_mode="streaming"),
        r'"user": "\u7528\u6237\ud83d\ude00"',
    ),
    "user_true": (run(user=True, response_mode="streaming"), '"user": "True"'),
    "user_list": (run(user=["a"], response_mode="streaming"), """"user": "['a']\""""),
    "user_dict": (run(user={"a": 1}, response_mode="streaming"), """"user": "{'a': 1}\""""),
    "user_float": (run(user=1.5, response_mode="streaming"), '"user": "1.5"'),
    "block_prompt_nul": (
        run(inputs={"prompt": "a\x00b"}, response_mode="streaming"),
        '"inputs": {"prompt": "ab", ',
    ),
    "block_model_null": (
        run(inputs={"prompt": "x", "model_name": None}, response_mode="streaming"),
        '"model_name": ""',
    ),
    "block_unknown_model_textinput": (
        run(
            app="textmodel",
            inputs={"prompt": "x", "model_name": "nosuch"},
            response_mode="streaming",
        ),
        '"inputs": {"prompt": "x", "model_name": "nosuch", "sys.files": []}',
    ),
    "g_default_empty": (
        run(app="g_default", inputs={"prompt": "x", "model_name": ""}, response_mode="streaming"),
        '"model_name": "v1-5-pruned-emaonly"',
    ),
    "extra_inputs": (
        run(inputs={"prompt": "x", "n": 4}, response_mode="streaming"),
        '"inputs": {"prompt": "x", "model_name": "", "sys.files": []}',
    ),
    "body_surrogate": (
        raw_run(rb'{"inputs": {"prompt": "\ud83d"}, "user": "alg123"}'),
        (
            "run failed: [openai_api_compatible] Error: 'utf-8' codec can't encode character "
            r"'\\ud83d' in position 1"
        ),
    ),
    "upload_noext": (
        upload(("file", "png", "x")),
        '"name": "png", "size": 1, "extension": "png", ',
    ),
    "upload_two_same": (
        upload(("file", "a.png", "xx"), ("file", "b.png", "y")),
        '"name": "a.png", "size": 2, ',
    ),
}


@pytest.mark.parametrize("name", _TEXTS)
def test_text_of_the_response(server: RunningServer, name: str) -> None:
    sent, wanted = _TEXTS[name]
    answer = _ask(server, sent)
    assert answer.status in (200, 201)
    assert wanted in answer.body.decode()


# Signed URLs
# ------------------------------------------------------------------------------------------------


def _signed(server: RunningServer, age_s: int = 0) -> Signed:
    """What a URL of a picture that exists is signed over."""
    file_id = re.search(r'"related_id": "(.*?)"', _ask(server, run()).body.decode())
    assert file_id is not None
    return Signed(file_id[1], str(int(time.time()) - age_s), "0123456789abcdef0123456789abcdef")


def _get(server: RunningServer, signed: Signed, *query: str, extension: str = "png") -> RawAnswer:
    return _ask(
        server,
        request("GET", f"/files/tools/{signed.file_id}.{extension}?{'&'.join(query)}", app=None),
    )


def _query(signed: Signed) -> tuple[str, str, str]:
    return f"timestamp={signed.timestamp}", f"nonce={signed.nonce}", f"sign={signed.sign()}"


@pytest.mark.parametrize(
    ("age_s", "name"),
    [(-86_400, "file_ok"), (0, "file_ok"), (295, "file_ok"), (302, "file_bad_sign")],
)
def test_a_url_lives_300_s_and_from_any_future(
    server: RunningServer, age_s: int, name: str
) -> None:
    signed = _signed(server, age_s)
    assert differences(exchanges()[name], _get(server, signed, *_query(signed))) == []


def test_the_order_of_parameters_is_free(server: RunningServer) -> None:
    signed = _signed(server)
    assert (
        differences(exchanges()["file_ok"], _get(server, signed, *reversed(_query(signed)))) == []
    )


def test_the_padding_of_a_signature_may_be_escaped_and_not_left_out(server: RunningServer) -> None:
    """As file_sign_pct; 43 characters without "=" are no signature."""
    signed = _signed(server)
    timestamp, nonce, sign = _query(signed)
    escaped, unpadded = sign.removesuffix("=") + "%3D", sign.removesuffix("=")
    assert (
        differences(exchanges()["file_ok"], _get(server, signed, timestamp, nonce, escaped)) == []
    )
    assert (
        differences(exchanges()["file_bad_sign"], _get(server, signed, timestamp, nonce, unpadded))
        == []
    )


@pytest.mark.parametrize("missing", ["timestamp", "nonce", "sign"])
def test_missing_parameters_are_missed_in_order(server: RunningServer, missing: str) -> None:
    signed = _signed(server)
    query = _query(signed)[: ["timestamp", "nonce", "sign"].index(missing)]
    answer = _get(server, signed, *query)
    wanted = {
        "code": "invalid_param",
        "message": "Missing required parameter in the query string",
        "params": missing,
    }
    assert differences(like("file_missing_sign", wanted), answer) == []


def test_a_signature_of_another_file_is_refused(server: RunningServer) -> None:
    signed, other = _signed(server), _signed(server)
    assert differences(exchanges()["file_bad_sign"], _get(server, signed, *_query(other))) == []
