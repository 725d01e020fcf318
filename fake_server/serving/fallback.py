"""h11 in place of httptools, for what httptools cannot do as the host does. Imported with the first such request."""

from __future__ import annotations

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from fake_server.serving.refusing import HEAD_TOO_LARGE, refuse, spec_of
from fake_server.spec import HostSpec


class Fallback(H11Protocol):
    """h11 as the proxy would have it: slower, and able to take whatever nginx takes."""

    def data_received(self, data: bytes) -> None:
        if self.conn.their_state is h11.IDLE:
            refusal = _refusal(self.conn.trailing_data[0] + data, spec_of(self.config))
            if refusal:
                refuse(self.transport, self.config, refusal)
                return
        super().data_received(data)

    def send_400_response(self, msg: str) -> None:
        refuse(self.transport, self.config, 400)


def _refusal(data: bytes, spec: HostSpec) -> int | None:
    """What of the head at the start of ``data`` the proxy refuses, where h11 would not."""
    limits = spec.limits
    first, *lines = data.partition(b"\r\n\r\n")[0].split(b"\r\n")
    if len(first) > limits.request_line_bytes:
        return 414
    if any(len(line) > limits.header_line_bytes for line in lines) or sum(map(len, lines)) > limits.headers_bytes:
        return HEAD_TOO_LARGE
    names = [line.partition(b":")[0].lower() for line in lines]
    coded = names.count(b"transfer-encoding")
    if coded + names.count(b"content-length") > 1 or (coded and first.endswith(b"HTTP/1.0")):
        return 400
    return None
