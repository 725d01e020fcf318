"""Other fakes to measure beside ours, where they are installed.

``python -m benchmarks.peers`` (``make bench-peers``) installs them from npm and PyPI into
``.benchmarks/peers``, which git ignores.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.measure import Size
from benchmarks.servers import API_KEY, PORT, ROOT
from benchmarks.wrk import PROMPTS, Requests, runs, without_prompt

FOLDER = ROOT / ".benchmarks" / "peers"

_NPM = ("@copilotkit/aimock@1.43.0", "@stoplight/prism-cli@5.14.2", "wiremock@3.13.2")
_PYPI = ("pytest-httpserver==1.2.0",)
_PATH = "/v1/workflows/run"
FRAMES = 12
"""Of each stream of a peer; the last one has no content."""


@dataclass(frozen=True, slots=True)
class Peer:
    """How a peer is started and what is asked of it; a text instead of requests says why it has
    none of that kind. ``slow`` are the flags with which its streams take so many ms from frame to
    frame.
    """

    command: Sequence[str]
    run: Requests
    refused: Requests | str
    stream: Requests | str = "no streams"
    slow: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)


def found(size: Size, config: Path, response: str = "{}") -> dict[str, Peer | str]:
    """The peers by name, set up in the folder ``config`` to respond with as much as ``response``;
    for one that is not here, why. There are none for the shortest size: they start slowly.
    """
    if size is Size.SMOKE:
        return {}
    return {
        "aimock": _aimock(config, response),
        "Prism": _prism(config, response),
        "WireMock": _wiremock(config, response),
        "pytest-httpserver": _pytest_httpserver(response),
    }


def _aimock(config: Path, response: str) -> Peer | str:
    """It has no path like ours: its images and its chat stand for them."""
    program = FOLDER / "node_modules/@copilotkit/aimock/dist/cli.js"
    if why := _missing("node", program):
        return why
    fixtures = [
        {"match": {"endpoint": "image"}, "response": {"image": {"url": "x" * len(response)}}},
        {"match": {"endpoint": "chat"}, "response": {"content": "x" * 200}},
    ]
    file = _written(config / "aimock.json", {"fixtures": fixtures})
    quiet = ("--log-level", "silent")
    images = [json.dumps({"model": "gpt-image-1", "prompt": prompt}) for prompt in PROMPTS]
    chats = [
        json.dumps(
            {"model": "m", "messages": [{"role": "user", "content": prompt}], "stream": True}
        )
        for prompt in PROMPTS
    ]
    return Peer(
        ["node", str(program), "--port", PORT, "--fixtures", file, *quiet],
        run=Requests("/v1/images/generations", [body.encode() for body in images]),
        refused=Requests("/v1/images/generations", [b'{"model": "gpt-image-1"}'], 400),
        stream=Requests("/v1/chat/completions", [body.encode() for body in chats]),
        slow=("--latency",),
    )


def _prism(config: Path, response: str) -> Peer | str:
    program = FOLDER / "node_modules/@stoplight/prism-cli/dist/index.js"
    if why := _missing("node", program):
        return why
    example = {"application/json": {"examples": {"run": {"value": json.loads(response)}}}}
    operation = {
        "security": [{"bearer": []}],
        "requestBody": {"required": True, "content": {"application/json": {"schema": _schema()}}},
        "responses": {"200": {"description": "a run", "content": example}},
    }
    document = {
        "openapi": "3.0.3",
        "info": {"title": "runs", "version": "1"},
        "components": {"securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}}},
        "paths": {_PATH: {"post": operation}},
    }
    file = _written(config / "prism.json", document)
    return Peer(
        ["node", str(program), "mock", "--port", PORT, "--verboseLevel", "silent", file],
        run=Requests(_PATH, runs("blocking")),
        refused=Requests(_PATH, without_prompt(runs("blocking")), 422),
    )


def _wiremock(config: Path, response: str) -> Peer | str:
    jars = sorted((FOLDER / "node_modules/wiremock/build").glob("wiremock-standalone-*.jar"))
    if why := _missing("java", jars[-1] if jars else FOLDER / "wiremock"):
        return why
    mapping = {
        "request": {
            "method": "POST",
            "urlPath": _PATH,
            "headers": {"Authorization": {"matches": "Bearer .+"}},
            "bodyPatterns": [
                {"matchesJsonSchema": json.dumps(_schema()), "schemaVersion": "V202012"}
            ],
        },
        "response": {
            "status": 200,
            "headers": {"Content-Type": "application/json"},
            "body": response,
        },
    }
    (config / "mappings").mkdir()
    _written(config / "mappings" / "run.json", mapping)
    options = ("--bind-address", "127.0.0.1", "--root-dir", str(config), "--disable-banner")
    journal = ("--max-request-journal-entries", "1000")
    return Peer(
        ["java", "-jar", str(jars[-1]), "--port", PORT, *options, *journal],
        run=Requests(_PATH, runs("blocking")),
        refused=Requests(_PATH, without_prompt(runs("blocking")), 404),
    )


def _pytest_httpserver(response: str) -> Peer | str:
    if why := _missing("python3", FOLDER / "python" / "pytest_httpserver"):
        return why
    return Peer(
        [sys.executable, "-c", _HTTPSERVER, PORT, API_KEY, response],
        run=Requests(_PATH, runs("blocking")),
        refused="no validation",
        stream=Requests("/stream", runs("streaming")),
        slow=("--latency",),
        environment={"PYTHONPATH": str(FOLDER / "python")},
    )


_HTTPSERVER = """
import signal, sys, time
from pytest_httpserver import HTTPServer
from werkzeug import Response

port, key, body, *latency = sys.argv[1:]
gap_s = int(latency[1]) / 1000 if latency else 0

def frames():
    for number in range(12):
        time.sleep(gap_s)
        yield "data: " + ("x" * 300 if number < 11 else "[DONE]") + "\\n\\n"

def stream(request):
    return Response(frames(), content_type="text/event-stream")

server = HTTPServer("127.0.0.1", int(port), threaded=True)
headers = {"Authorization": "Bearer " + key}
run = server.expect_request("/v1/workflows/run", method="POST", headers=headers)
run.respond_with_data(body, content_type="application/json")
server.expect_request("/stream", method="POST", headers=headers).respond_with_handler(stream)
server.start()
signal.signal(signal.SIGTERM, lambda *_: sys.exit())
signal.pause()
"""


def _missing(program: str, installed: Path) -> str:
    if shutil.which(program) is None:
        return f"missing: {program} is not installed"
    return "" if installed.exists() else "missing: not installed (make bench-peers)"


def _schema() -> dict[str, Any]:
    models = sorted({json.loads(body)["inputs"]["model_name"] for body in runs("blocking")})
    inputs = {
        "type": "object",
        "required": ["prompt"],
        "properties": {"prompt": {"type": "string"}, "model_name": {"enum": models}},
    }
    properties = {
        "inputs": inputs,
        "response_mode": {"enum": ["blocking"]},
        "user": {"type": "string"},
    }
    return {"type": "object", "required": sorted(properties), "properties": properties}


def _written(file: Path, content: object) -> str:
    file.write_text(json.dumps(content))
    return str(file)


def main() -> None:
    """Install them."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    if shutil.which("npm") is None:
        print("npm is not installed: no aimock, Prism and WireMock")
    else:
        options = ("--no-audit", "--no-fund", "--prefix", str(FOLDER))
        subprocess.run(["npm", "install", *options, *_NPM], check=True)
    into = ("--upgrade", "--target", str(FOLDER / "python"))
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", *into, *_PYPI], check=True)


if __name__ == "__main__":
    main()
