"""Load by wrk: requests over so many connections, on each one after the other."""

from __future__ import annotations

import contextlib
import itertools
import json
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from benchmarks.measure import Sample, SkippedError
from benchmarks.servers import API_KEY, Server
from tests.serving import raw_exchange

_MODELS = ("chilloutmix_NiPrunedFp32Fix", "dosmix_", "ghostmix_v20Bakedvae")
_LATIN = "a cat on a roof under the moon, watercolour, soft light, wide angle, highly detailed; "
_HAN = "一个胸有成竹的男人站在雨后的竹林里，水墨画，留白，远山如黛；"

PROMPTS = tuple(
    f"{number}: {(text * 20)[: 4 + number * number // 10]}"
    for number, text in zip(range(64), itertools.cycle((_LATIN, _HAN)))
)
"""Of 7 to 404 characters, every other one Han."""


@dataclass(frozen=True, slots=True)
class Requests:
    """What is sent, in turn. With ``fresh_heads`` a header counts, so that no two heads are
    equal.
    """

    path: str
    bodies: Sequence[bytes]
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    fresh_heads: bool = False

    def raw(self) -> bytes:
        """The first of them as it is sent."""
        headers = "".join(f"{name}: {value}\r\n" for name, value in _headers(self).items())
        length = f"Content-Length: {len(self.bodies[0])}\r\n\r\n"
        head = f"POST {self.path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{headers}{length}"
        return head.encode() + self.bodies[0]


def runs(mode: str) -> list[bytes]:
    """Bodies of runs in that response mode, as different clients write JSON."""
    return [
        _json(
            {
                "inputs": {"prompt": prompt, "model_name": _MODELS[number % 3]},
                "response_mode": mode,
                "user": f"user-{number % 7}",
            },
            compact=number % 4 < 2,
        )
        for number, prompt in enumerate(PROMPTS)
    ]


def without_prompt(bodies: Sequence[bytes]) -> list[bytes]:
    """The same without the input that a run needs, which is refused."""
    return [body.replace(b'"prompt"', b'"text"') for body in bodies]


def _json(value: object, compact: bool) -> bytes:
    if compact:  # as curl, httpx and browsers send it
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    return json.dumps(value).encode()  # as requests does


def load(server: Server, requests: Requests, connections: int, seconds: float) -> Sample:
    """Send ``requests`` for so long. Raises ``SkippedError`` without wrk, and ``SystemExit`` where
    a response is none of that status.
    """
    program = shutil.which("wrk")
    if program is None:
        raise SkippedError("wrk is not installed (apt install wrk, brew install wrk)")
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(_script(requests))
        script.flush()
        options = ["-t", "1", "-c", str(connections), "-d", "1h", "-s", script.name]
        before = server.cpu_s()
        output = _interrupted([program, *options, server.url], seconds)
        used_s = server.cpu_s() - before
    found: dict[str, float] = json.loads(output.rpartition("\n@")[2])
    refused = found["requests"] if requests.status >= 400 else 0
    if found["lost"] or not found["requests"] or abs(found["refused"] - refused) > connections:
        raise SystemExit(f"{server.url}{requests.path} does not respond as it should: {found}")
    return {
        "requests/s": found["requests"] / found["us"] * 1e6,
        "µs CPU a request": used_s / found["requests"] * 1e6,
        "p50 ms": found["p50"] / 1000,
        "p99 ms": found["p99"] / 1000,
    }


def warm(server: Server, requests: Requests) -> None:
    """Let a server respond for the first time, which may take long."""
    first = raw_exchange("127.0.0.1", server.port, requests.raw(), timeout=60)
    assert first.status == requests.status, first


def send(server: Server, requests: Requests, count: int) -> None:
    """Send roughly so many ``requests``."""
    seconds = 0.5
    while count > 0:
        count -= round(load(server, requests, 32, seconds)["requests/s"] * seconds)


def _interrupted(command: Sequence[str], seconds: float) -> str:
    """What wrk prints when it is interrupted: by itself it takes whole seconds."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(seconds)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate()
    if process.returncode != 0:
        raise SystemExit(f"{' '.join(command)} fails:\n{output}")
    return output


_LUA = """
local bodies, sent, requests = {%s}, 0, {}
function init(args)
  for i, body in ipairs(bodies) do requests[i] = wrk.format("POST", "%s", nil, body) end
end
function request()
  sent = sent + 1
  local raw = requests[(sent - 1) %% #requests + 1]
  if %s then return (raw:gsub("\\r\\n", "\\r\\nX-Request-Id: " .. sent .. "\\r\\n", 1)) end
  return raw
end
function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format('\\n@{"requests": %%d, "us": %%d, "p50": %%d, "p99": %%d, "refused": %%d, '
    .. '"lost": %%d}', summary.requests, summary.duration, latency:percentile(50),
    latency:percentile(99), e.status, e.connect + e.read + e.write + e.timeout))
end
"""


def _script(requests: Requests) -> str:
    headers = "".join(
        f'wrk.headers["{name}"] = "{value}"\n' for name, value in _headers(requests).items()
    )
    bodies = ",".join(
        '"{}"'.format("".join(f"\\{byte:03d}" for byte in body)) for body in requests.bodies
    )
    return headers + _LUA % (bodies, requests.path, str(requests.fresh_heads).lower())


def _headers(requests: Requests) -> dict[str, str]:
    standard = {"Content-Type": "application/json", "Authorization": f"Bearer {API_KEY}"}
    return {**standard, **requests.headers}
