"""Images of 512 × 512 with 50 letters: drawn, downloaded for the first time, and again."""

from __future__ import annotations

import json
import re
import tempfile
import time
from functools import partial
from pathlib import Path

from benchmarks.measure import FAKE, Figure, Sample, Size, beside
from benchmarks.servers import Server, fake, served
from benchmarks.wrk import Requests
from fake_server.images import ImageRecord, render
from fake_server.workflow.loader import default_workflow_path
from tests.serving import Connection

_LETTERS = {
    "50 Latin letters": "a man with bamboo in mind, in ink, after the rain,",
    "50 Han letters": "一个胸有成竹的男人站在雨后的竹林里水墨画留白远山如黛"
    "近水含烟一叶扁舟渔翁独钓寒江雪万径人踪灭千山鸟飞",
}
_URL = re.compile(rb'"(/files/tools/[^"]+)"')
_TOOL = "tool_configurations: {model: v1-5-pruned-emaonly"


def figures(size: Size) -> list[Figure]:
    """Drawing alone, then over a socket, then the first of a process."""
    count = size.of(2, 10, 50)
    with tempfile.TemporaryDirectory() as folder:
        workflow = Path(folder) / "workflow.yml"
        text = default_workflow_path().read_text()
        workflow.write_text(text.replace(_TOOL, f"{_TOOL}, width: 512, height: 512"))
        command = fake("--speed", "instant", "--workflow", str(workflow))
        with served(command) as server:
            for letters in _LETTERS.values():
                _image(server, letters, 1)  # warm
            return [
                *(
                    figure
                    for name, letters in _LETTERS.items()
                    for figure in beside(
                        f"an image, {name}",
                        {FAKE: partial(_image, server, letters, count)},
                        size.of(1, 4, 8),
                    )
                ),
                *beside(
                    "the first image of a process",
                    {
                        name: partial(_first, command, letters, wait_s)
                        for letters in list(_LETTERS.values())[1:]
                        for name, wait_s in (("at once", 0.0), ("after half a second", 0.5))
                    },
                    size.of(1, 2, 7),
                ),
            ]


def _image(server: Server, letters: str, count: int) -> Sample:
    began = time.thread_time()
    for number in range(count):
        render(ImageRecord(letters, "chilloutmix_NiPrunedFp32Fix", number))
    return {"drawn ms CPU": (time.thread_time() - began) * 1000 / count} | _downloaded(
        server, letters, count
    )


def _downloaded(server: Server, letters: str, count: int) -> dict[str, float]:
    with Connection("127.0.0.1", server.port) as connection:
        requests = [_download(connection, letters) for _ in range(count)]
        took_s = []
        for _ in range(2):
            before = server.cpu_s()
            sizes = [len(connection.exchange(request).body) for request in requests]
            took_s.append((server.cpu_s() - before) / count)
    return {
        "downloaded ms CPU": took_s[0] * 1000,
        "again µs CPU": took_s[1] * 1e6,
        "bytes": sizes[0],
    }


def _first(command: list[str], letters: str, wait_s: float) -> Sample:
    """Of a process that has responded before."""
    with served(command) as server, Connection("127.0.0.1", server.port) as connection:
        found = []
        for wait in (wait_s, 0.0):
            request = _download(connection, letters)
            time.sleep(wait)
            before, began = server.cpu_s(), time.perf_counter()
            connection.exchange(request)
            took_s, used_s = time.perf_counter() - began, server.cpu_s() - before
            found.append((took_s * 1000, used_s * 1000))
    (first_ms, first_cpu_ms), (_, second_cpu_ms) = found
    return {"ms": first_ms, "ms CPU": first_cpu_ms, "ms CPU, the second": second_cpu_ms}


def _download(connection: Connection, letters: str) -> bytes:
    """The request for the image of a fresh run."""
    body = {"inputs": {"prompt": letters}, "response_mode": "blocking", "user": "u"}
    found = _URL.search(
        connection.exchange(Requests("/v1/workflows/run", [json.dumps(body).encode()]).raw()).body
    )
    assert found is not None
    return b"GET %b HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" % found[1]
