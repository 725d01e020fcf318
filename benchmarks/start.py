"""From starting the process to the first response: the fake beside a bare Starlette on uvicorn.

``python -m benchmarks.start`` starts both by turns, so that a busy machine is as unfair to the one
as to the other, and prints the medians and their ratio.
"""

from __future__ import annotations

import argparse
import socket
import statistics
import subprocess
import sys
import time

from benchmarks.measure import COMPILING, FAKE, ROOT, Figure, table

_PATIENCE_S = 20.0
_BARE = """
import sys
import uvicorn
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

async def home(request):
    return JSONResponse({"welcome": "here"})

uvicorn.run(Starlette(routes=[Route("/v1/", home)]), port=int(sys.argv[1]), log_level="error")
"""
_SERVERS = {"bare Starlette": [sys.executable, "-c", _BARE], "fake-server": list(FAKE)}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--times", type=int, default=15, help="starts of each (default: %(default)s)"
    )
    print(table(figures(parser.parse_args().times)))


def figures(times: int = 15) -> list[Figure]:
    """The medians of ``times`` starts of each."""
    for command in _SERVERS.values():
        first_response_s(command)  # compiles, and fills caches, as any earlier start has
    took: dict[str, list[float]] = {name: [] for name in _SERVERS}
    for _ in range(times):
        for name, command in _SERVERS.items():
            took[name].append(first_response_s(command) * 1000)
    bare, fake = took.values()
    lower, ratio, upper = statistics.quantiles(
        [one / other for one, other in zip(fake, bare, strict=True)], n=4
    )
    return [
        Figure("start to first response: bare Starlette", statistics.median(bare), "ms"),
        Figure(
            "start to first response: fake-server",
            statistics.median(fake),
            "ms",
            ratio,
            (lower, upper),
            "the bare one",
        ),
    ]


def first_response_s(command: list[str]) -> float:
    """Seconds from the start of ``command``, given a port, to the first byte of its response
    there.
    """
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    began = time.perf_counter()
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(
        [*command, str(port)], cwd=ROOT, env=COMPILING, stdout=quiet, stderr=quiet
    )
    try:
        while not _responds(port):
            if process.poll() is not None or time.perf_counter() - began > _PATIENCE_S:
                raise SystemExit(f"{command[:3]} does not respond")
            time.sleep(0.001)
        return time.perf_counter() - began
    finally:
        process.terminate()
        process.wait()


def _responds(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=_PATIENCE_S) as connection:
            connection.sendall(b"GET /v1/ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            return bool(connection.recv(1))
    except ConnectionRefusedError:
        return False


if __name__ == "__main__":
    main()
