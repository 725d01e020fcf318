"""Admin calls to an app in process, each answer judged by ``admin.yaml``."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema_rs
import yaml

import fake_server.admin
from fake_server import Settings, create_app
from fake_server.app import FakeServer
from fake_server.settings import DEFAULT_API_KEY
from tests.asgi import AsgiAnswer, RequestHeaders, call, json_headers, run_body

LOCAL = {"Host": "127.0.0.1:6060"}
RUN = "/v1/workflows/run"


@cache
def description() -> dict[str, Any]:
    """``admin.yaml``."""
    path = Path(fake_server.admin.__file__).parent / "admin.yaml"
    document: dict[str, Any] = yaml.safe_load(path.read_text("utf-8"))
    return document


def host(**settings: Any) -> FakeServer:
    """An instant fake whose draws repeat."""
    return create_app(Settings(**{"speed": None, "seed": 1, **settings}))


def admin(
    app: FakeServer, method: str, path: str, body: Any = None, headers: RequestHeaders = ()
) -> AsgiAnswer:
    """Call ``/__admin`` + ``path``; ``body`` is sent as JSON, or as it is where it is bytes."""
    sent = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    usual = {**LOCAL, "Content-Type": "application/json", "Content-Length": str(len(sent))}
    answer = call(app, method, f"/__admin{path}", headers or (usual if sent else LOCAL), sent)
    check_described(method, path.partition("?")[0], answer)
    return answer


def described_path(path: str) -> str:
    """``path`` as the description has it: with names in place of ids."""
    if path in description()["paths"]:
        return path
    for described in description()["paths"]:
        pattern = re.escape(described).replace(r"\{path\}", ".+")
        if re.fullmatch(re.sub(r"\\\{\w+\\\}", "[^/]+", pattern), path):
            return str(described)
    return path


def check_described(method: str, path: str, answer: AsgiAnswer) -> None:
    """Fail where the description does not have this answer."""
    item = description()["paths"].get(described_path(f"/__admin{path}"), {})
    operation = item.get(method.lower())
    responses = (operation or {}).get(
        "responses", {"default": {"$ref": "#/components/responses/Refused"}}
    )
    response = responses.get(str(answer.status), responses.get("default"))
    if "$ref" in response:
        response = description()["components"]["responses"][response["$ref"].rpartition("/")[2]]
    if len(responses) > 1 and "default" in responses and str(answer.status) not in responses:
        assert answer.status >= 400, f"{answer.status} is not described"
    kind = (answer.header("Content-Type") or "").partition(";")[0]
    assert kind in response["content"], (
        f"{kind} is not described for {method} {path} {answer.status}"
    )
    if kind == "application/json":
        schema = response["content"][kind].get("schema", {})
        schema = {**schema, "components": description()["components"]}
        jsonschema_rs.Draft202012Validator(schema).validate(answer.json())


def run(app: FakeServer, body: bytes | None = None, query: str = "", **headers: str) -> AsgiAnswer:
    """A run of the default app."""
    sent = run_body() if body is None else body
    usual = {**json_headers(DEFAULT_API_KEY), "Content-Length": str(len(sent))}
    return call(
        app,
        "POST",
        RUN + query,
        {**usual, **{name.replace("_", "-"): value for name, value in headers.items()}},
        sent,
    )


def requests_of(app: FakeServer, query: str = "") -> list[dict[str, Any]]:
    """The journal, as an admin call lists it."""
    answer = admin(app, "GET", f"/requests{query}")
    assert answer.status == 200, answer.body
    found: list[dict[str, Any]] = answer.json()["requests"]
    return found
