"""A replay of many recordings: from starting the process to its first response, hits and misses.

Half of the recordings are blocking runs, half streams, each of another prompt. The first start
after they were recorded is cold, any other warm.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import statistics
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from itertools import count
from pathlib import Path

from benchmarks.measure import Figure, Sample, Size, beside
from benchmarks.servers import fake, served
from benchmarks.start import start
from benchmarks.wrk import Requests
from tests.replay.folders import folder, recorded
from tests.serving import Connection

_PROMPT = "一个胸有成竹的男人"
_LENGTH = re.compile(r"Length, '(\d+)'")
_RUNS = ("block_ok_doc_example", "stream_ok")


def figures(size: Size) -> list[Figure]:
    """Starts with and without so many recordings, then responses."""
    number = size.of(20, 1_000, 5_000)
    with tempfile.TemporaryDirectory() as path:
        original = _recorded(Path(path), number)
        warm = original.with_name("warm")
        shutil.copytree(original, warm)
        replay = partial(fake, "--speed", "instant", "--replay")
        start(replay(str(warm)))

        copies = count()

        def cold() -> Sample:
            fresh = original.with_name(f"cold{next(copies)}")
            shutil.copytree(original, fresh)
            return start(replay(str(fresh)))

        starts = beside(
            f"start to first response, {number:,} recordings",
            {
                "no recordings": partial(start, fake("--speed", "instant")),
                "cold": cold,
                "warm": partial(start, replay(str(warm))),
            },
            size.of(1, 1, 3),
        )
        with served(replay(str(warm))) as server, Connection("127.0.0.1", server.port) as client:
            return [
                *starts,
                *beside(
                    f"a response among {number:,} recordings",
                    {
                        "recorded": partial(
                            _responses, client, [*map(_prompt, range(0, 20, 2))], 200
                        ),
                        "a miss": partial(
                            _responses, client, [*map("none {}".format, range(10))], 501
                        ),
                    },
                    size.of(1, 3, 5),
                ),
            ]


def _recorded(path: Path, number: int) -> Path:
    """A folder with so many recordings, made of two as they are written."""
    written = folder(path / "two", *(recorded()[name] for name in _RUNS))
    texts = [file.read_text() for file in sorted(written.glob("*.yaml"))]
    many = path / "many"
    many.mkdir()
    for one in range(number):
        prompt = _prompt(one)
        text = texts[one % 2].replace(_PROMPT, prompt)
        text = _LENGTH.sub(lambda found: f"Length, '{int(found[1]) + 6}'", text, count=1)
        file = many / f"{one:05}-run.yaml"
        file.write_text(text)
        os.utime(file, (0, 0))  # what has just been written is not remembered
    return many


def _prompt(number: int) -> str:
    return f"{_PROMPT} {number:05}"


def _responses(client: Connection, prompts: Sequence[str], status: int) -> Sample:
    """Milliseconds from a request to its response."""
    took_ms = []
    for prompt in prompts:
        inputs = {"prompt": prompt, "model_name": "chilloutmix_NiPrunedFp32Fix"}
        body = {"inputs": inputs, "response_mode": "blocking", "user": "alg123"}
        request = Requests("/v1/workflows/run", [json.dumps(body).encode()]).raw()
        began = time.perf_counter()
        answer = client.exchange(request)
        took_ms.append((time.perf_counter() - began) * 1000)
        assert answer.status == status, answer
    return {"p50 ms": statistics.median(took_ms), "most ms": max(took_ms)}
