"""The document that ``fake-server spec`` prints works in the tools of others: openapi-typescript
makes types of it, and Prism responds by it.
"""

from __future__ import annotations

import json
import re
import socket
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from dify_wire.profile import HOST_VERSIONS, REFERENCE_VERSION
from fake_server.cli import cli
from tests.npm import link_packages
from tests.pages.events import types
from tests.pages.typescript import declaration, reachable
from tests.serving import ROOT
from tests.tools import needed

PAGE = (ROOT / "docs" / "events.md").read_text("utf-8")
PROGRAM = re.findall(r"```ts\n(import .*?)```", PAGE, re.DOTALL)[0]
MODULE = {"compilerOptions": {"strict": True, "noEmit": True, "target": "es2022", "types": []}}


def spec(folder: Path, version: str) -> Path:
    """The document of ``version`` as tools of others read it."""
    printed = CliRunner().invoke(cli, ["spec", "--openapi", "3.1", "--host-version", version])
    path = folder / f"dify-{version}.yaml"
    path.write_text(printed.stdout, "utf-8")
    return path


def compiles(folder: Path, **sources: str) -> str:
    """What ``tsc --strict`` has to say against them."""
    for name, text in sources.items():
        (folder / f"{name}.ts").write_text(text, "utf-8")
    (folder / "tsconfig.json").write_text(json.dumps(MODULE), "utf-8")
    command = [needed("node"), "node_modules/typescript/bin/tsc", "--pretty", "false"]
    return subprocess.run(
        command, cwd=folder, capture_output=True, encoding="utf-8", check=False
    ).stdout


@pytest.mark.slow
@pytest.mark.parametrize("version", [REFERENCE_VERSION, "1.4.3", HOST_VERSIONS[0]])
def test_openapi_typescript_makes_a_union_of_events(tmp_path: Path, version: str) -> None:
    """The program of docs/events.md compiles with what it makes, and a mistake in it does not."""
    link_packages(["openapi-typescript", "typescript"], tmp_path)
    path = spec(tmp_path, version)
    command = [needed("node"), "node_modules/openapi-typescript/bin/cli.js", path.name]
    subprocess.run(
        [*command, "-o", "dify.ts"], cwd=tmp_path, capture_output=True, timeout=60, check=True
    )
    made = (tmp_path / "dify.ts").read_text("utf-8")
    assert re.search(
        r'"text/event-stream": string \| components\["schemas"\]\["StreamFrame"\];', made
    )
    wrong = PROGRAM.replace("event.data.title", "event.data.tilte")
    known = (
        "import type { components } from './dify';\nimport type { StreamEvent } from './page';\n"
    )
    same = (
        f"{known}type Made = components['schemas']['StreamEvent'];\n"
        "export const there = (event: StreamEvent): Made['event'] => event.event;\n"
        "export const back = (event: Made): StreamEvent['event'] => event.event;\n"
        "export const whole = (event: Made): StreamEvent => event;\n"
    )
    page = types(version).removeprefix("```ts\n").removesuffix("\n```")
    errors = compiles(tmp_path, program=PROGRAM, wrong=wrong, page=page, same=same)
    assert [line for line in errors.splitlines() if not line.startswith("wrong.ts")] == []
    assert "Property 'tilte' does not exist" in errors


@contextmanager
def prism(path: Path) -> Iterator[str]:
    """Prism with the document at ``path``: its URL."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
    program = [needed("node"), "node_modules/@stoplight/prism-cli/dist/index.js", "mock", path.name]
    process = subprocess.Popen(
        [*program, "--port", str(port)],
        cwd=path.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
    )
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if "Prism is listening" in line:
                break
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.communicate()


@pytest.mark.slow
@pytest.mark.server
@pytest.mark.parametrize("version", [REFERENCE_VERSION, HOST_VERSIONS[0]])
def test_prism_responds_with_the_examples(tmp_path: Path, version: str) -> None:
    link_packages(["@stoplight/prism-cli"], tmp_path)
    with prism(spec(tmp_path, version)) as url:

        def run(mode: str, accept: str) -> str:
            body = {"inputs": {"prompt": "a cat"}, "response_mode": mode, "user": "u"}
            request = urllib.request.Request(
                f"{url}/v1/workflows/run",
                json.dumps(body).encode(),
                {
                    "Authorization": "Bearer app-k",
                    "Content-Type": "application/json",
                    "Accept": accept,
                },
            )
            with urllib.request.urlopen(request, timeout=30) as response:
                return str(response.read().decode())

        assert json.loads(run("blocking", "application/json"))["data"]["status"] == "succeeded"
        stream = run("streaming", "text/event-stream")
    assert [
        json.loads(line[6:])["event"] for line in stream.splitlines() if line.startswith("data: ")
    ][-1] == ("workflow_finished")


def test_schemas_become_types() -> None:
    schemas: dict[str, dict[str, Any]] = {
        "A": {
            "type": "object",
            "required": ["a b", "kind"],
            "additionalProperties": False,
            "properties": {
                "a b": {"type": ["integer", "null"], "description": "A number."},
                "kind": {"const": "a"},
                "list": {"type": "array", "items": {"$ref": "#/components/schemas/B"}},
                "many": {"type": "array", "items": {"enum": ["x", 1]}},
                "open": {"type": "object", "properties": {"x": {}}},
            },
        },
        "B": {"anyOf": [{"type": "string"}, {"$ref": "#/components/schemas/A"}, True]},
        "C": {"type": "boolean"},
    }
    assert reachable(schemas, "A") == ["A", "B"]
    assert declaration("A", schemas["A"]) == (
        "export interface A {\n"
        "  /** A number. */\n"
        '  "a b": number | null;\n'
        '  kind: "a";\n'
        "  list?: B[];\n"
        '  many?: ("x" | 1)[];\n'
        "  open?: {\n"
        "    x?: unknown;\n"
        "    [name: string]: unknown;\n"
        "  };\n"
        "}"
    )
    assert declaration("B", schemas["B"]) == "export type B = string | A | unknown;"
