"""A host whose pictures come slowly: its clock, told by their Date, is not taken for later than it
is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from contract.checks import CHECKS
from contract.client import HttpTransport
from contract.result import Status
from contract.runner import run_check
from contract.target import Capabilities, Target
from dify_wire.exchange import Chunk, Exchange, Request
from fake_server.settings import DEFAULT_API_KEY
from tests.mutants.serving import SECRET, serving, untouched

pytestmark = pytest.mark.server

_SLOW_S = 8.0


class _SlowPictures:
    """Responses with a picture as if their requests had been sent ``_SLOW_S`` before the host sent
    the head.
    """

    def __init__(self, transport: HttpTransport) -> None:
        self._transport = transport

    def close(self) -> None:
        self._transport.close()

    def send(self, request: Request, on_chunk: Callable[[bytes], None] | None = None) -> Exchange:
        exchange = self._transport.send(request, on_chunk)
        if not exchange.media_type.startswith("image/"):
            return exchange
        chunks = tuple(Chunk(chunk.at_s + _SLOW_S, chunk.data) for chunk in exchange.chunks)
        return replace(
            exchange,
            sent_at=exchange.sent_at - _SLOW_S,
            seconds=exchange.seconds + _SLOW_S,
            chunks=chunks,
        )


@pytest.mark.parametrize("name", ["url_expires_after_300_seconds", "url_is_valid_for_290_seconds"])
def test_age_of_a_url_is_right_although_images_come_slowly(name: str) -> None:
    with serving(untouched) as url:
        transport = _SlowPictures(HttpTransport(url))
        try:
            result = run_check(
                CHECKS[name], Target(transport, Capabilities(DEFAULT_API_KEY, SECRET))
            )
        finally:
            transport.close()
    assert result.status is Status.PASSED, result
