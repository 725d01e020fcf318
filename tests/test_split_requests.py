"""A request that arrives in pieces is one request, also where its answer does not wait for its
body.
"""

from __future__ import annotations

import pytest

from tests.serving import Connection, running_server

pytestmark = pytest.mark.server


@pytest.mark.parametrize(
    ("line", "status"),
    [("POST /v1/workflows/run", 401), ("POST /v1/info", 405), ("PUT /v1/workflows/run", 405)],
)
def test_body_that_comes_after_the_answer_is_no_new_request(line: str, status: int) -> None:
    """Clients send head and body apart; what was refused by its head leaves the connection fit for
    the next.
    """
    with (
        running_server("--speed", "instant") as server,
        Connection(server.host, server.port) as connection,
    ):
        for _ in range(3):
            head = (
                f"{line} HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: "
                "2\r\n\r\n"
            )
            assert connection.exchange(head.encode()).status == status
            connection.send(b"{}")
            assert connection.exchange(b"GET /v1/ HTTP/1.1\r\nHost: h\r\n\r\n").status == 200
