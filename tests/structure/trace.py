"""What one ``POST /v1/workflows/run`` passes through, from socket to bytes, in the project's own
code. It is one of HTTP/1.0, which takes the ordinary path and not that of quick responses.

Runs as a process of its own, since it profiles the server's thread: prints one JSON object.
"""

from __future__ import annotations

import itertools
import json
import socket
import sys
import threading
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

ROOT = Path(__file__).parents[2]
PACKAGES = tuple(str(ROOT / name) for name in ("dify_wire", "fake_server"))

_BODY = json.dumps(
    {"inputs": {"prompt": "a cat"}, "response_mode": "blocking", "user": "trace"}
).encode()


class Trace:
    """Counts the calls of the project's functions while ``on``."""

    def __init__(self) -> None:
        self.on = False
        self.calls: list[CodeType] = []

    def profile(self, frame: FrameType, event: str, _: Any) -> None:
        if (
            self.on
            and event == "call"
            and frame.f_code.co_filename.startswith(PACKAGES)
            and threading.current_thread().name.startswith("fake host")  # not what loads late
        ):
            self.calls.append(frame.f_code)

    def figures(self) -> dict[str, int]:
        files = [code.co_filename for code in self.calls]
        changes = sum(one != other for one, other in itertools.pairwise(files))
        return {
            "functions": len(set(self.calls)),
            "files": len(set(files)),
            "file changes": changes,
        }


def main() -> None:
    trace = Trace()
    threading.setprofile(trace.profile)
    from fake_server.testing import FakeHost

    with FakeHost() as host:
        port = int(host.url.rpartition(":")[2])
        _post(port, host.api_key)  # the first request imports what it needs
        trace.on = True
        response = _post(port, host.api_key)
        trace.on = False
    assert b'"status": "succeeded"' in response, response
    json.dump(trace.figures(), sys.stdout)


def _post(port: int, key: str) -> bytes:
    head = (
        f"POST /v1/workflows/run HTTP/1.0\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(_BODY)}\r\n"
        "Connection: close\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        client.sendall(head.encode() + _BODY)
        received = bytearray()
        while data := client.recv(65536):
            received += data
    return bytes(received)


if __name__ == "__main__":
    main()
