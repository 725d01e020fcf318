"""How punctual a replay is.

A stream of the real host, stretched to some seconds, is replayed at speed 1 to clients that all
ask at once. Each gap between two chunks is compared with the recorded one. What the machine itself
adds is measured in the same run: by a bare asyncio server that writes the same chunks at the same
times.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import multiprocessing
import multiprocessing.connection
import statistics
import tempfile
from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path

from benchmarks.measure import Figure, Sample, Size, beside, percentile
from dify_wire.exchange import Chunk, Recording
from tests.replay.folders import changed, folder, recorded
from tests.serving import running_server

_CLIENTS = 20
_NAME = "stream_ok"


def figures(size: Size) -> list[Figure]:
    """By how much gaps are off, of many clients at once."""
    recording = _stretched(size.of(0.3, 1.5, 3.0))
    with tempfile.TemporaryDirectory() as path, _bare(recording) as bare:
        flags = ("--replay", str(folder(Path(path), recording)), "--speed", "1")
        with (
            running_server(*flags) as server,
            multiprocessing.get_context("spawn").Pool(1) as asking,
        ):
            ours = (server.host, server.port)

            def off_ms(address: tuple[str, int], request: bytes) -> Sample:
                gaps = asking.apply(_gaps, (address, request, _CLIENTS))
                measured = _off_ms(gaps, recording)
                return {"p50 ms": statistics.median(measured), "p99 ms": percentile(measured, 99)}

            return beside(
                "gaps of a replay off",
                {
                    "bare asyncio": partial(off_ms, bare, b"GET / HTTP/1.1\r\n\r\n"),
                    "replay": partial(off_ms, ours, _request(recording, server.api_key)),
                },
                size.of(1, 2, 4),
            )


def _stretched(seconds: float) -> Recording:
    """The recorded stream with its rhythm, so slow that it takes so many seconds."""
    first_s, last_s = recorded()[_NAME].chunks[0].at_s, recorded()[_NAME].chunks[-1].at_s
    scale = seconds / (last_s - first_s)
    chunks = tuple(
        Chunk(round(chunk.at_s * scale, 6), chunk.data) for chunk in recorded()[_NAME].chunks
    )
    return changed(_NAME, chunks=chunks, seconds=chunks[-1].at_s)


def _request(recording: Recording, api_key: str) -> bytes:
    body = json.dumps(json.loads(recording.request.body)).encode()
    head = (
        f"POST {recording.request.target} HTTP/1.1\r\nHost: localhost\r\nAuthorization: "
        f"Bearer {api_key}\r\n"
    )
    return (
        f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        + body
    )


def _off_ms(gaps: list[list[float]], recording: Recording) -> list[float]:
    """By how many milliseconds each gap is off."""
    wanted = [later.at_s - earlier.at_s for earlier, later in pairwise(recording.chunks)]
    return [abs(got - want) * 1000 for one in gaps for got, want in zip(one, wanted, strict=True)]


def _gaps(address: tuple[str, int], request: bytes, clients: int) -> list[list[float]]:
    """The gaps in the streams of clients that ask at once; they are a process of their own."""

    async def all_of_them() -> list[list[float]]:
        return await asyncio.gather(*(_one(address, request) for _ in range(clients)))

    return asyncio.run(all_of_them())


async def _one(address: tuple[str, int], request: bytes) -> list[float]:
    """The gaps between the chunks of one stream, as its client sees them."""
    loop = asyncio.get_running_loop()
    reader, writer = await asyncio.open_connection(*address)
    writer.write(request)
    await reader.readuntil(b"\r\n\r\n")
    times = []
    while size := int(await reader.readline(), 16):
        times.append(loop.time())
        await reader.readexactly(size + 2)
    writer.close()
    return [later - earlier for earlier, later in pairwise(times)]


@contextlib.contextmanager
def _bare(recording: Recording) -> Iterator[tuple[str, int]]:
    """The address of a server that does nothing but this stream."""
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    process = multiprocessing.get_context("spawn").Process(
        target=_serve_bare, args=(theirs, recording), daemon=True
    )
    process.start()
    try:
        yield ours.recv()
    finally:
        process.terminate()
        process.join()


def _serve_bare(ended: multiprocessing.connection.Connection, recording: Recording) -> None:
    async def respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        loop = asyncio.get_running_loop()
        began = loop.time()
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for chunk in recording.chunks:
            await asyncio.sleep(began + chunk.at_s - loop.time())
            writer.write(b"%x\r\n%b\r\n" % (len(chunk.data), chunk.data))
        writer.write(b"0\r\n\r\n")
        await writer.drain()
        writer.close()

    async def serve() -> None:
        server = await asyncio.start_server(respond, "127.0.0.1", 0)
        ended.send(server.sockets[0].getsockname()[:2])
        await server.serve_forever()

    asyncio.run(serve())
