"""The calls of ``docs/admin.md``: what ``admin.yaml`` says of each, with an exchange with a real
app.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from fake_server.app import FakeServer
from tests.admin.calling import admin, described_path, description, host, run
from tests.admin.reports import report_file
from tests.asgi import AsgiAnswer, run_body
from tests.pages.markdown import code, table

_CLOCK = "2024-05-01T12:00:00Z"
_WRITTEN_AT = 1714564800

_CALLS: tuple[tuple[str, str, Any], ...] = (
    ("GET", "/", None),
    ("GET", "/health", None),
    ("GET", "/metrics", None),
    ("GET", "/settings", None),
    ("GET", "/openapi.yaml", None),
    ("GET", "/runs?limit=1", None),
    ("GET", "/runs/{task_id}", None),
    ("POST", "/runs/{task_id}/stop", None),
    ("GET", "/images/{file_id}", None),
    ("GET", "/apps", None),
    ("GET", "/as/{app_id}/v1/parameters", None),
    (
        "POST",
        "/as/{app_id}/v1/workflows/run",
        {"inputs": {"prompt": "一只猫"}, "response_mode": "blocking", "user": "alg123"},
    ),
    (
        "POST",
        "/examples",
        {"body": {"inputs": {"prompt": "一只猫"}, "response_mode": "blocking", "user": "alg123"}},
    ),
    ("GET", "/behaviours", None),
    ("GET", "/spec?openapi=3.1", None),
    ("GET", "/profile", None),
    ("GET", "/report", None),
    ("GET", "/recordings", None),
    ("POST", "/scenarios", {"name": "node_failed", "when": {"user": "alg123"}, "times": 1}),
    ("GET", "/scenarios", None),
    ("DELETE", "/scenarios?id=1", None),
    ("GET", "/requests?path=/v1/*&limit=1", None),
    ("GET", "/requests?brief=true&limit=1", None),
    ("GET", "/requests/{request_id}", None),
    ("POST", "/requests/wait", {"match": {"path": "/v1/workflows/run"}, "timeout_s": 5}),
    ("POST", "/requests/verify", {"match": {"path": "/v1/workflows/run"}, "count": 1}),
    ("POST", "/requests/verify", {"match": {"user": "somebody"}}),
    ("DELETE", "/requests", None),
    ("GET", "/clock", None),
    ("POST", "/clock", {"advance_s": 301}),
    ("POST", "/reset", {"seed": 7}),
    ("GET", "/events", None),
)
"""One call of each operation, in an order in which each has something to show."""

_REAL_TIMES = r'("(?:uptime_s|first_byte_ms|ended_ms|shifted_s)": |_seconds_sum\{.*\} )-?[\d.]+'
_LONGEST = 200
_LINE = 88
_MOST_LINES = 12
_KEPT_OF_A_LIST = 2
_KEPT_OF_AN_ENTRY = ("id", "received_at", "method", "path")


def admin_part() -> str:
    """A section for each call."""
    app = host(clock=_CLOCK)
    run(app)
    document = description()
    described = {
        f"{method.upper()} {path}"
        for path, item in document["paths"].items()
        for method in item
        if method != "parameters"
    }
    ids = _ids(app)
    calls = [(method, path.format_map(ids), body) for method, path, body in _CALLS]
    called = {_name(method, path) for method, path, _ in calls}
    assert called == described, called ^ described
    parts: list[str] = []
    before = ""
    for method, path, body in calls:
        if path == "/events":
            app.end_runs()  # or the stream would go on
        name = _name(method, path)
        if name != before:
            operation = document["paths"][name.partition(" ")[2]][method.lower()]
            parts += _section(document, name, operation)
        parts += _example(method, path, body, _answer(app, method, path, body))
        before = name
    return "\n\n".join(parts)


def _ids(app: FakeServer) -> dict[str, Any]:
    """What stands for ids in the paths of ``_CALLS``."""
    [ran] = admin(app, "GET", "/runs").json()["runs"]
    [first, *_] = admin(app, "GET", "/apps").json()["apps"]
    return {
        "task_id": ran["task_id"],
        "file_id": ran["images"][0]["file_id"],
        "app_id": first["id"],
        "request_id": ran["request_id"],
    }


def _answer(app: FakeServer, method: str, path: str, body: Any) -> AsgiAnswer:
    """The answer of ``app``, or of a fake of the call's own where ``app`` has nothing to show."""
    if path == "/profile":
        app = host(host_version="0.6.9")
    elif path == "/recordings":
        app = host(clock=_CLOCK, replay=Path("recordings/dify-0.6.4"), on_miss="fake")
        run(app, run_body("a cat"))
    elif path == "/report":
        with tempfile.TemporaryDirectory() as folder:
            file = report_file(Path(folder) / "report.json")
            os.utime(file, (_WRITTEN_AT, _WRITTEN_AT))
            answer = admin(host(contract_report=file), method, path, body)
            return replace(answer, body=answer.body.replace(f"{folder}/".encode(), b""))
    return admin(app, method, path, body)


def _name(method: str, path: str) -> str:
    return f"{method} {described_path('/__admin' + path.partition('?')[0])}"


def _section(document: Mapping[str, Any], name: str, operation: Mapping[str, Any]) -> Iterator[str]:
    yield f"### {name}"
    yield " ".join([operation["summary"], operation.get("description", "")]).strip()
    if rows := [_parameter(one) for one in operation.get("parameters", ())]:
        yield table(("query", "takes", "meaning"), rows)
    if rows := list(_fields(document, operation)):
        yield table(("field", "takes", "meaning"), rows)


def _example(method: str, path: str, body: Any, answer: AsgiAnswer) -> Iterator[str]:
    kind = " -H 'Content-Type: application/json'" if path.startswith("/as/") else ""
    sent = f"{kind} -d '{json.dumps(body, ensure_ascii=False)}'" if body is not None else ""
    verb = f" -X {method}" if method == "DELETE" or (method == "POST" and body is None) else ""
    quoted = f'"$FAKE{path}"' if "?" in path else f"$FAKE{path}"
    yield f"```sh\ncurl -sS{verb} {quoted}{sent}\n```"
    kind = answer.header("Content-Type") or ""
    if kind == "image/png":
        text = f"{len(answer.body)} bytes"
    elif kind.startswith("application/json"):
        text = _json(_shortened(answer.json(), whole=path.startswith("/requests?")))
    else:
        lines = answer.body.decode().splitlines()
        text = "\n".join(lines[:_MOST_LINES] + ["…"] * (len(lines) > _MOST_LINES))
    if path.startswith("/spec"):
        text = "\n".join([*text.splitlines()[:_MOST_LINES], "…"])
    text = re.sub(_REAL_TIMES, r"\1…", text)
    yield f"```text\n{answer.status} {kind}\n\n{text}\n```"


def _json(value: Any, indent: str = "") -> str:
    """``value`` with as much on a line as fits."""
    line = json.dumps(value, ensure_ascii=False)
    if len(indent + line) <= _LINE or not isinstance(value, dict | list):
        return line
    deeper = f"{indent}  "
    if isinstance(value, dict):
        inner = [f'"{name}": {_json(entry, deeper)}' for name, entry in value.items()]
    else:
        inner = [_json(entry, deeper) for entry in value]
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    return "\n".join([opening, ",\n".join(deeper + one for one in inner), indent + closing])


def _shortened(value: Any, *, whole: bool) -> Any:
    """``value`` with long texts cut, and where it is not the ``whole``, lists and entries of the
    journal.
    """
    if isinstance(value, str) and len(value) > _LONGEST:
        return f"{value[:_LONGEST]}…"
    if isinstance(value, list):
        kept = value if whole or len(value) <= _KEPT_OF_A_LIST + 1 else value[:_KEPT_OF_A_LIST]
        shown = [_shortened(inner, whole=whole) for inner in kept]
        return shown if kept is value else [*shown, "…"]
    if not isinstance(value, dict):
        return value
    if "received_at" in value and not whole:
        return {name: value[name] for name in _KEPT_OF_AN_ENTRY} | {"…": "…"}
    return {name: _shortened(inner, whole=whole) for name, inner in value.items()}


def _parameter(parameter: Mapping[str, Any]) -> tuple[str, str, str]:
    return code(parameter["name"]), _takes(parameter["schema"]), parameter.get("description", "")


def _fields(
    document: Mapping[str, Any], operation: Mapping[str, Any]
) -> Iterator[tuple[str, str, str]]:
    content = operation.get("requestBody", {}).get("content", {})
    schema = _resolved(document, content.get("application/json", {}).get("schema", {}))
    schema = _resolved(document, schema["anyOf"][0]) if "anyOf" in schema else schema
    for name, one in schema.get("properties", {}).items():
        field = _resolved(document, one)
        needed = ", required" if name in schema.get("required", ()) else ""
        yield code(name), f"{_takes(field)}{needed}", field.get("description", "")


def _takes(schema: Mapping[str, Any]) -> str:
    """What a value may be, in words; bounds and defaults included."""
    if "anyOf" in schema:
        return " or ".join(_takes(one) for one in schema["anyOf"])
    if "enum" in schema or "const" in schema:
        values = schema.get("enum", (schema.get("const"),))
        return " or ".join(code(json.dumps(value).strip('"')) for value in values)
    kinds = schema.get("type", "anything")
    words = kinds if isinstance(kinds, str) else " or ".join(kinds)
    bounds = {"minimum": "from", "maximum": "to", "default": "default"}
    limits = (f"{word} {schema[key]}" for key, word in bounds.items() if key in schema)
    return ", ".join([words, *limits])


def _resolved(document: Mapping[str, Any], value: Mapping[str, Any]) -> Mapping[str, Any]:
    name = value.get("$ref", "").rpartition("/")[2]
    return document["components"]["schemas"][name] if name else value
