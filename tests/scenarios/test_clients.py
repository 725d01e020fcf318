"""Every behaviour as a client experiences it: httpx for calls and images, httpx-sse for streams,
Pillow to look.
"""

from __future__ import annotations

import io
import json
import re
import ssl
from collections.abc import Mapping
from typing import Any

import httpx
import pytest
from httpx_sse import ServerSentEvent, SSEError, connect_sse
from PIL import Image

from tests.each import each
from tests.scenarios.bench import IMAGE_ADDRESS, PROMPT, UPLOADS_KEY, Bench

pytestmark = pytest.mark.server


PATIENCE_S = 0.3
"""A client's read timeout on the server whose clock stands still."""


_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Shared, since a client that makes its own takes long to build."""


def _client(bench: Bench) -> httpx.Client:
    timeout = httpx.Timeout(10.0, read=PATIENCE_S if bench.host.clock.frozen else 10.0)
    headers = {"Authorization": f"Bearer {bench.api_key}"}
    return httpx.Client(
        base_url=bench.url, headers=headers, timeout=timeout, trust_env=False, verify=_TLS
    )


def experience(bench: Bench, mode: str, scenario: str) -> str:
    """What a careful client can say about a request with ``scenario``; a transport's failure by its
    exception's name.

    ``mode`` is blocking, streaming, "file" (a blocking run with a user's image), "image" (the
    download carries the scenario) or "kept" (the run before it did).
    """
    with _client(bench) as client:
        try:
            match mode:
                case "blocking":
                    return _called(client, scenario)
                case "file":
                    client.headers["Authorization"] = f"Bearer {UPLOADS_KEY}"
                    return _called(client, scenario, files=[_FILE])
                case "streaming":
                    return _streamed(client, scenario)
                case "image":
                    return _fetched(client, _url(client), scenario)
                case _:
                    return _fetched(client, _url(client, scenario))
        except httpx.HTTPError as error:
            return type(error).__name__


RUN = "/v1/workflows/run"
_FILE = {"type": "image", "transfer_method": "remote_url", "url": IMAGE_ADDRESS}


def _body(mode: str) -> dict[str, Any]:
    return {"inputs": {"prompt": PROMPT}, "response_mode": mode, "user": "alg123"}


def _carrying(scenario: str) -> dict[bytes, bytes]:
    return {b"X-Fake-Scenario": scenario.encode()} if scenario else {}


def _called(client: httpx.Client, scenario: str, **more: Any) -> str:
    answer = client.post(RUN, json=_body("blocking") | more, headers=_carrying(scenario))
    try:
        body = answer.json()
    except json.JSONDecodeError:
        return f"{answer.status_code} {_content_type(answer)}, JSONDecodeError"
    return f"{answer.status_code} {_result(body['data']) if 'data' in body else body['code']}"


def _content_type(answer: httpx.Response) -> str:
    return answer.headers["content-type"].partition(";")[0]


def _result(data: Mapping[str, Any]) -> str:
    error = f": … {' '.join(data['error'].split()[-3:])}" if data["error"] else ""
    return f"{data['status']}{error}{_files((data['outputs'] or {}).get('files'))}"


def _files(files: list[dict[str, Any]] | None) -> str:
    if files is None:
        return ""
    return ", " + (" and ".join(_address(file["url"]) for file in files) or "no file")


def _address(url: str | None) -> str:
    """The form of an image's URL, without what differs from run to run."""
    return str(url) if url is None else re.sub(r"(?<=/files/tools/).*", "…", url)


def _streamed(client: httpx.Client, scenario: str) -> str:
    """A letter for each event: ``(`` and ``)`` of a node, ``.`` for a ping, ``?`` for what is no
    JSON; then the end.
    """
    events: list[str] = []
    with connect_sse(
        client, "POST", RUN, json=_body("streaming"), headers=_carrying(scenario)
    ) as source:
        try:
            events.extend(map(_event_text, source.iter_sse()))
        except SSEError:
            return f"SSEError on {source.response.status_code} {_content_type(source.response)}"
        except httpx.HTTPError as error:
            events.append(f" {type(error).__name__}")
    return re.sub(r"\.{4,}", lambda pings: f" {len(pings[0])} pings ", "".join(events))


_LETTERS = {"workflow_started": "W", "node_started": "(", "node_finished": ")"}


def _event_text(event: ServerSentEvent) -> str:
    if event.event == "ping":
        return "."
    try:
        body = event.json()
    except json.JSONDecodeError:
        return "?"
    if body["event"] == "workflow_finished":
        return f" {_result(body['data'])}"
    return _LETTERS.get(body["event"], f" {body['event']!r} ")


def _url(client: httpx.Client, scenario: str = "") -> str:
    answer = client.post(RUN, json=_body("blocking"), headers=_carrying(scenario))
    return str(answer.json()["data"]["outputs"]["files"][0]["url"])


def _fetched(client: httpx.Client, url: str, scenario: str = "") -> str:
    answer = client.get(url, headers=_carrying(scenario))
    shown = f"{answer.status_code} {_content_type(answer)}"
    if answer.status_code != 200:
        return shown
    try:
        with Image.open(io.BytesIO(answer.content)) as image:
            image.load()
            return f"{shown}, {image.size}"
    except (OSError, Image.DecompressionBombError) as error:
        return f"{shown}, {type(error).__name__}"


def _ids(rows: list[tuple[str, str, str]]) -> list[str]:
    return [f"{scenario} [{mode}]" for mode, scenario, _ in rows]


# What they say
# ---

INSTANT = [
    ("blocking", "slow", "200 succeeded, /files/tools/…"),
    ("streaming", "slow; node=llm; seconds=7", "W()()()(..)() succeeded, /files/tools/…"),
    ("blocking", "slow; real_seconds=0.05", "200 succeeded, /files/tools/…"),
    ("blocking", "node_failed", "200 failed: … to set model"),
    ("streaming", "node_failed", "W()()()(.) failed: … to set model"),
    ("blocking", "node_failed; node=llm; error=out of luck", "200 failed: … out of luck"),
    ("streaming", "node_failed; node=llm; error=out of luck", "W()() failed: … out of luck"),
    ("blocking", "tool_failed_silently", "200 succeeded, no file"),
    ("streaming", "tool_failed_silently", "W()()()(.)() succeeded, no file"),
    ("streaming", "tool_failed_silently; text=nothing today", "W()()()(.)() succeeded, no file"),
    ("blocking", "http_error", "500 internal_server_error"),
    ("streaming", "http_error", "SSEError on 500 application/json"),
    ("image", "http_error", "500 application/json"),
    ("blocking", "http_error; status=404", "404 not_found"),
    ("streaming", "http_error; status=404", "SSEError on 404 application/json"),
    ("blocking", "http_error; status=503; body=html", "503 text/html, JSONDecodeError"),
    ("streaming", "http_error; status=503; body=html", "SSEError on 503 text/html"),
    ("image", "http_error; status=503; body=html", "503 text/html"),
    ("blocking", "http_error; status=502; body=empty", "502 text/html, JSONDecodeError"),
    ("streaming", "http_error; status=502; body=empty", "SSEError on 502 text/html"),
    ("blocking", "http_error; body=malformed", "500 application/json, JSONDecodeError"),
    ("streaming", "http_error; body=malformed", "SSEError on 500 application/json"),
    ("blocking", 'http_error; status=418; code=teapot; message="short, and stout"', "418 teapot"),
    (
        "streaming",
        'http_error; status=418; code=teapot; message="short, and stout"',
        "SSEError on 418 application/json",
    ),
    ("blocking", "http_error; status=304", "304 text/html, JSONDecodeError"),
    ("blocking", "http_error; status=204", "204 text/html, JSONDecodeError"),
    ("blocking", "gateway_timeout", "504 text/html, JSONDecodeError"),
    ("streaming", "gateway_timeout", "SSEError on 504 text/html"),
    ("blocking", "gateway_timeout; after_s=30; status=524", "524 text/html, JSONDecodeError"),
    ("streaming", "gateway_timeout; after_s=30; status=524", "SSEError on 524 text/html"),
    ("blocking", "rate_limited", "429 rate_limit_error"),
    ("streaming", "rate_limited", "SSEError on 429 application/json"),
    ("image", "rate_limited", "429 application/json"),
    (
        "blocking",
        "rate_limited; retry_after_s=7; form=cloudflare",
        "429 text/html, JSONDecodeError",
    ),
    ("streaming", "rate_limited; retry_after_s=7; form=cloudflare", "SSEError on 429 text/html"),
    ("blocking", "concurrency_limit", "429 too_many_requests"),
    ("streaming", "concurrency_limit", "SSEError on 429 application/json"),
    ("blocking", "concurrency_limit; limit=1", "200 succeeded, /files/tools/…"),
    ("streaming", "concurrency_limit; limit=1", "W()()()(.)() succeeded, /files/tools/…"),
    ("blocking", "run_failed", "200 failed: … steps 30 reached."),
    ("streaming", "run_failed", "W()()()(.)() failed: … steps 30 reached."),
    ("blocking", "run_failed; error=磁盘已满", "200 failed: … 磁盘已满"),
    ("streaming", "run_failed; error=磁盘已满", "W()()()(.)() failed: … 磁盘已满"),
    ("streaming", "stopped", "W()()()( stopped: … Workflow stopped."),
    ("blocking", "stopped; after_s=1", "200 stopped: … Workflow stopped."),
    ("streaming", "stopped; after_s=0", "W stopped: … Workflow stopped."),
    ("blocking", "stopped; after_s=1000", "200 succeeded, /files/tools/…"),
    ("streaming", "stopped; after_s=1000", "W()()()(.)() succeeded, /files/tools/…"),
    ("blocking", "run_limit_600s", "200 stopped: … Workflow stopped."),
    ("streaming", "run_limit_600s", "W()()()( 59 pings  stopped: … Workflow stopped."),
    ("blocking", "unknown_status", "200 partial-succeeded, /files/tools/…"),
    ("streaming", "unknown_status", "W()()()(.)() partial-succeeded, /files/tools/…"),
    ("blocking", "unknown_status; status=paused", "200 paused, /files/tools/…"),
    ("streaming", "unknown_status; status=paused", "W()()()(.)() paused, /files/tools/…"),
    ("streaming", "no_terminal_event", "W()()()(.)()"),
    (
        "streaming",
        "double_terminal_event",
        "W()()()(.)() succeeded, /files/tools/… succeeded, /files/tools/…",
    ),
    ("streaming", "reordered_events", "W)(()()(.)() succeeded, /files/tools/…"),
    ("streaming", "reordered_events; after=2", "W(())()(.)() succeeded, /files/tools/…"),
    ("streaming", "ping_storm", "W()( 31 pings )()( 158 pings )() succeeded, /files/tools/…"),
    ("streaming", "ping_storm; every_s=3", "W()(.)()( 5 pings )() succeeded, /files/tools/…"),
    ("streaming", "no_ping", "W()()()()() succeeded, /files/tools/…"),
    ("streaming", "data_ping", "W()(?)()(????????)() succeeded, /files/tools/…"),
    ("streaming", 'data_ping; frame=":ok"; every_s=4', "W()()()()() succeeded, /files/tools/…"),
    ("blocking", "extra_fields", "200 succeeded, /files/tools/…"),
    ("streaming", "extra_fields", "W()()()(.)() succeeded, /files/tools/…"),
    ("blocking", "extra_fields; name=trace_id", "200 succeeded, /files/tools/…"),
    ("blocking", "null_url", "200 succeeded, None"),
    ("streaming", "null_url", "W()()()(.)() succeeded, None"),
    ("blocking", "absolute_url", "200 succeeded, {url}/files/tools/…"),
    ("streaming", "absolute_url", "W()()()(.)() succeeded, {url}/files/tools/…"),
    (
        "blocking",
        "absolute_url; base=https://images.test/x",
        "200 succeeded, https://images.test/x/files/tools/…",
    ),
    ("blocking", "wrong_host", "200 succeeded, http://files.invalid/files/tools/…"),
    (
        "blocking",
        "wrong_host; base=http://api:5001",
        "200 succeeded, http://api:5001/files/tools/…",
    ),
    (
        "streaming",
        "wrong_host; base=http://api:5001",
        "W()()()(.)() succeeded, http://api:5001/files/tools/…",
    ),
    ("blocking", "expired_url", "200 succeeded, /files/tools/…"),
    ("blocking", "expired_url; age_s=100", "200 succeeded, /files/tools/…"),
    ("image", "expired_url", "403 application/json"),
    ("kept", "expired_url", "403 application/json"),
    ("blocking", "unsigned_url", "200 succeeded, /files/tools/…"),
    ("streaming", "unsigned_url", "W()()()(.)() succeeded, /files/tools/…"),
    ("kept", "unsigned_url", "400 application/json"),
    ("image", "missing_blob", "502 text/html"),
    ("kept", "missing_blob", "502 text/html"),
    ("image", "corrupt_png", "200 image/png, OSError"),
    ("kept", "corrupt_png", "200 image/png, OSError"),
    ("image", "corrupt_png; how=flipped", "200 image/png, OSError"),
    ("kept", "corrupt_png; how=flipped", "200 image/png, OSError"),
    ("image", "corrupt_png; how=html", "200 image/png, UnidentifiedImageError"),
    ("kept", "corrupt_png; how=html", "200 image/png, UnidentifiedImageError"),
    ("image", "huge_png", "200 image/png, DecompressionBombError"),
    ("image", "huge_png; side=64; megabytes=2", "200 image/png, (64, 64)"),
    ("kept", "huge_png; side=64; megabytes=2", "200 image/png, (64, 64)"),
    ("streaming", "buffered_stream", "W()()()(.)() succeeded, /files/tools/…"),
    ("streaming", "coalesced_frames", "W()()()(.)() succeeded, /files/tools/…"),
    ("streaming", "coalesced_frames; count=5", "W()()()(.)() succeeded, /files/tools/…"),
    ("streaming", "split_frames", "W()()()(.)() succeeded, /files/tools/…"),
    ("streaming", "split_frames; every=100", "W()()()(.)() succeeded, /files/tools/…"),
    ("streaming", "split_frames; where=escape", "W()()()(.)() succeeded, /files/tools/…"),
    ("streaming", "split_frames; where=utf8", "W()()()(.)() succeeded, /files/tools/…"),
    ("blocking", "split_frames; every=100; pause_s=0.5", "200 succeeded, /files/tools/…"),
    ("streaming", "split_frames; every=100; pause_s=0.5", "W()()()(.)() succeeded, /files/tools/…"),
    ("blocking", "split_frames", "200 succeeded, /files/tools/…"),
    (
        "blocking",
        "run_failed; error=磁盘, split_frames; where=escape; pause_s=1",
        "200 failed: … 磁盘",
    ),
    (
        "blocking",
        "run_failed; error=磁盘, split_frames; where=utf8; pause_s=1",
        "200 failed: … 磁盘",
    ),
    ("streaming", "cut_stream", "W() RemoteProtocolError"),
    ("streaming", "cut_stream; after=0", "RemoteProtocolError"),
    ("streaming", "cut_stream; after=1; mid_frame=true", "W RemoteProtocolError"),
    ("streaming", "cut_stream; after=1; at_byte=9", "W RemoteProtocolError"),
    ("streaming", "cut_stream; after=5", "W()() RemoteProtocolError"),
    ("blocking", "cut_stream", "RemoteProtocolError"),
    ("blocking", "connection_reset", "ReadError"),
    ("streaming", "connection_reset", "ReadError"),
    ("image", "connection_reset", "ReadError"),
    ("streaming", "connection_reset; after=2", "W( ReadError"),
    ("blocking", "slow_body", "200 succeeded, /files/tools/…"),
    ("image", "slow_body; bytes_per_second=5000", "200 image/png, (1024, 1024)"),
    ("streaming", "malformed_event", "W(?()()(.)() succeeded, /files/tools/…"),
    (
        "streaming",
        "malformed_event; after=0; how=not_json",
        "?()()()(.)() succeeded, /files/tools/…",
    ),
    (
        "streaming",
        "malformed_event; after=1; how=no_data",
        "W?)()()(.)() succeeded, /files/tools/…",
    ),
    (
        "streaming",
        "malformed_event; how=invalid_utf8",
        "W( '��node_finished' ()()(.)() succeeded, /files/tools/…",
    ),
    ("blocking", "sd_options_failed; how=close", "200 failed: … to set model"),
    ("streaming", "sd_options_failed; how=close", "W()()()(.) failed: … to set model"),
    ("blocking", "sd_options_failed", "200 failed: … to set model"),
    ("streaming", "sd_options_failed", "W()()()(.) failed: … to set model"),
    ("blocking", "upstream_down", "200 failed: … to set model"),
    ("streaming", "upstream_down", "W()()()(.) failed: … to set model"),
    ("blocking", "upstream_down; service=llm", "200 failed: … 111] Connection refused'))"),
    ("streaming", "upstream_down; service=llm", "W()() failed: … 111] Connection refused'))"),
    ("blocking", "upstream_down; service=redis", "500 internal_server_error"),
    ("streaming", "upstream_down; service=redis", "SSEError on 500 application/json"),
    ("image", "upstream_down; service=redis", "500 application/json"),
    ("blocking", "upstream_down; service=postgres", "500 unknown"),
    ("streaming", "upstream_down; service=postgres", "SSEError on 500 application/json"),
    ("blocking", "upstream_down; service=api", "502 text/html, JSONDecodeError"),
    ("streaming", "upstream_down; service=api", "SSEError on 502 text/html"),
    ("image", "upstream_down; service=api", "502 text/html"),
    ("file", "remote_file_unreachable", "400 invalid_param"),
    ("file", "remote_file_unreachable; how=unknown_host", "400 invalid_param"),
    ("file", "remote_file_unreachable; how=timeout", "400 invalid_param"),
    ("file", "remote_file_unreachable; how=absent", "400 invalid_param"),
    ("blocking", "remote_file_unreachable", "200 succeeded, /files/tools/…"),
    ("blocking", "sd_failed; how=close", "200 succeeded, no file"),
    ("streaming", "sd_failed; how=badbase64", "W()()()(.)() succeeded, no file"),
    ("blocking", "sd_failed; how=emptyimages", "200 succeeded, no file"),
    ("streaming", "sd_failed; how=noimages", "W()()()(.)() succeeded, no file"),
    ("blocking", "sd_failed; how=badjson", "200 succeeded, no file"),
    ("blocking", "sd_failed; how=404", "200 succeeded, no file"),
    ("streaming", "sd_failed; how=404", "W()()()(.)() succeeded, no file"),
    ("blocking", "sd_failed", "200 succeeded, no file"),
    ("streaming", "sd_failed", "W()()()(.)() succeeded, no file"),
    ("blocking", "sd_failed; how=timeout", "200 succeeded, no file"),
    ("streaming", "sd_failed; how=timeout", "W()()()( 12 pings )() succeeded, no file"),
    ("blocking", "llm_failed", '200 failed: … exploded", "type": "server_error"}}'),
    ("streaming", "llm_failed", 'W()() failed: … exploded", "type": "server_error"}}'),
    ("blocking", "llm_failed; how=close", "200 failed: … connection without response'))"),
    ("streaming", "llm_failed; how=close", "W()() failed: … connection without response'))"),
    ("blocking", "llm_failed; how=empty", "200 succeeded, no file"),
    ("streaming", "llm_failed; how=empty", "W()()()(.)() succeeded, no file"),
]
"""(mode, scenario, what a client experiences) of a server that waits for nothing."""

FROZEN = [
    ("blocking", "slow", "ReadTimeout"),
    ("streaming", "slow", "W ReadTimeout"),
    ("streaming", "endless_stream", "W ReadTimeout"),
    ("blocking", "endless_stream", "ReadTimeout"),
    ("blocking", "gateway_timeout", "ReadTimeout"),
    ("streaming", "buffered_stream", "ReadTimeout"),
    ("streaming", "coalesced_frames; count=2", "ReadTimeout"),
    ("streaming", "split_frames", " ReadTimeout"),
    ("streaming", "stopped; after_s=1", "W ReadTimeout"),
    ("streaming", "run_limit_600s", "W ReadTimeout"),
    ("image", "slow_body", "ReadTimeout"),
    ("streaming", "slow_body", " ReadTimeout"),
]
"""The same of one whose clock stands still: what takes time does not come, and the client loses its
patience.
"""


@each(("mode", "scenario", "expected"), INSTANT, ids=_ids(INSTANT))
def test_a_client_experiences(instant: Bench, mode: str, scenario: str, expected: str) -> None:
    """Values where HTTP went well, and the very exception where it did not."""
    instant.reset()
    assert experience(instant, mode, scenario) == expected.replace("{url}", instant.url)


@pytest.mark.parametrize(("mode", "scenario", "expected"), FROZEN, ids=_ids(FROZEN))
def test_a_client_without_patience_experiences(
    frozen: Bench, mode: str, scenario: str, expected: str
) -> None:
    """The timeout is the client's own; the server notices that it has left."""
    frozen.reset()
    assert experience(frozen, mode, scenario) == expected
    frozen.until(lambda: frozen.left_behind == (0, 0, 0) or scenario == "gateway_timeout")
