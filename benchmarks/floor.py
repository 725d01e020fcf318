"""F, the least that a server on uvicorn can do: a raw ASGI app with constant responses.

``python -m benchmarks.floor FILE PORT`` serves what ``FILE`` says for each path: one body, or
frames, each its own send, when it is due.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.servers import PORT, Server, served


@dataclass(frozen=True, slots=True)
class Constant:
    """A response: a status and its frames with the seconds at which each is due.

    ``is_stream`` frames are sent one by one; else there is one, the body.
    """

    status: int
    frames: Sequence[tuple[float, str]]
    is_stream: bool


@contextlib.contextmanager
def floor(responses: Mapping[str, Constant]) -> Iterator[Server]:
    """F with these responses by path."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump({path: asdict(response) for path, response in responses.items()}, file)
        file.flush()
        with served([sys.executable, "-m", "benchmarks.floor", file.name, PORT]) as server:
            yield server


def main(path: str, port: str) -> None:
    """Serve."""
    import uvicorn  # only this process needs it

    responses = {
        path: _response(**response) for path, response in json.loads(Path(path).read_text()).items()
    }

    async def app(scope: Any, receive: Any, send: Any) -> None:
        head, body, frames = responses[scope["path"]]
        await receive()
        await send(head)
        if body is not None:
            await send({"type": "http.response.body", "body": body})
            return
        began = asyncio.get_running_loop().time()
        for at_s, frame in frames:
            wait_s = began + at_s - asyncio.get_running_loop().time()
            if wait_s > 0:
                await asyncio.sleep(wait_s)
            await send({"type": "http.response.body", "body": frame, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    uvicorn.run(
        app,
        port=int(port),
        loop="uvloop",
        http="httptools",
        log_level="error",
        lifespan="off",
        access_log=False,
    )


def _response(
    status: int, frames: Sequence[tuple[float, str]], is_stream: bool
) -> tuple[dict[str, Any], bytes | None, list[tuple[float, bytes]]]:
    encoded = [(at_s, frame.encode()) for at_s, frame in frames]
    if is_stream:
        headers, body = [(b"content-type", b"text/event-stream")], None
    else:
        [(_, body)] = encoded
        length = str(len(body)).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", length)]
    return {"type": "http.response.start", "status": status, "headers": headers}, body, encoded


if __name__ == "__main__":
    main(*sys.argv[1:])
