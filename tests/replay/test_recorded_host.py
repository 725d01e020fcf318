"""The recorded host, replayed: every request that was recorded gets the answer that was recorded,
over a socket.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping

import pytest

from dify_wire.app_kind import AppKind
from tests.compared import differences
from tests.each import each
from tests.recorded import APPS, HOST, KEYS, SECRET_KEY, Exchange, exchanges, outages, ready
from tests.serving import RawAnswer, RunningServer, raw_exchange, running_server

pytestmark = pytest.mark.server

_LIVE = {
    "direct_health": "past the proxy, whose routes are judged live",
    "down_api_file": "a picture's signature is judged live, and the recorded host was down",
}
_BROKEN_OFF = "disconnect_stream"
_DURING_OUTAGES = frozenset(outages())


@pytest.fixture(scope="module")
def answers() -> Iterator[Mapping[str, RawAnswer]]:
    """What a replay answers to all recorded requests, asked in the order of recording."""
    apps = {
        key: label if label in set(AppKind) else str(APPS / f"{label}.yml")
        for label, key in KEYS.items()
    }
    flags = [part for key, what in apps.items() for part in ("--app", f"{key}={what}")]
    flags += ["--replay", str(HOST), "--speed", "instant", "--secret-key", SECRET_KEY]
    with running_server(*flags) as server:
        yield {
            name: _fetch(server, exchange)
            for name, exchange in exchanges().items()
            if name != _BROKEN_OFF
        }


def _fetch(server: RunningServer, exchange: Exchange) -> RawAnswer:
    """The answer to the recorded request, of which only signatures and their times are made
    anew.
    """
    file_id = re.match(rb"\S+ /files/(?:tools/)?([0-9a-fA-F-]{36})", exchange.request)
    request = exchange.request
    if exchange.name not in _DURING_OUTAGES:
        request = ready(exchange, file_id[1].decode().lower() if file_id else "", time.time())
    return raw_exchange(server.host, server.port, request)


@each("name", [name for name in exchanges() if name not in (*_LIVE, _BROKEN_OFF)])
def test_the_recorded_answer_comes_back(answers: Mapping[str, RawAnswer], name: str) -> None:
    """Status, headers and body to the byte, but for what is signed, timed and named anew; outages
    among them.
    """
    assert differences(exchanges()[name], answers[name]) == []


@pytest.mark.parametrize(
    "name", [name for name in exchanges() if exchanges()[name].is_stream and name != _BROKEN_OFF]
)
def test_chunks_are_cut_where_the_host_cut_them(
    answers: Mapping[str, RawAnswer], name: str
) -> None:
    """Even without waiting: one HTTP chunk for each that was recorded."""
    recorded = exchanges()[name]
    if not recorded.request.partition(b"\r\n")[0].endswith(b"HTTP/1.0"):
        assert len(answers[name].chunks) == len(recorded.frame_times)


@pytest.mark.parametrize("name", _LIVE)
def test_what_is_checked_live_does_differ(answers: Mapping[str, RawAnswer], name: str) -> None:
    """The exceptions name nothing that could be compared."""
    assert differences(exchanges()[name], answers[name])
