"""The exports of the recorded hosts, as they are: each loads, and its runs end alike in both
response modes.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from fake_server import Settings, create_app
from fake_server.app import FakeServer
from fake_server.workflow.model import StartVariable, Workflow
from tests.asgi import AsgiAnswer, call, json_headers
from tests.each import each

APPS = Path(__file__).parent.parent / "recordings" / "apps"
VERSIONS = ("1.14.2", "1.13.3", "1.10.1", "1.4.3", "0.6.9")
LIMITED = "limited"  # a stream counts twice against its limit of one run (FACTS-1.14.2 3.1)


def exports() -> dict[str, tuple[str, str]]:
    """The version and the option of each app, the newest version that has it."""
    found: dict[str, tuple[str, str]] = {}
    for version in VERSIONS:
        for path in sorted((APPS / f"dify-{version}").glob("*.yml")):
            beside = path.with_suffix(".fake.yml")
            if not path.name.endswith(".fake.yml"):
                what = f"{path}+{beside}" if beside.exists() else str(path)
                found.setdefault(path.stem, (version, what))
    return found


EXPORTS = exports()


@cache
def server_of(version: str) -> FakeServer:
    """A server with each app of ``version`` under its name as a key."""
    apps = tuple((app, what) for app, (known, what) in EXPORTS.items() if known == version)
    return create_app(Settings(host_version=version, speed=None, seed=1, apps=apps))


def value_for(variable: StartVariable) -> Any:
    match variable.type:
        case "select":
            return variable.options[0] if variable.options else ""
        case "number":
            return 3
        case "checkbox":
            return True
        case "json_object":
            return {"a": 1}
        case "file" | "file-list":
            return None
    return "a cat"


def answer(app: str, workflow: Workflow, mode: str) -> AsgiAnswer:
    values = {one.name: value_for(one) for one in workflow.variables}
    inputs = {name: value for name, value in values.items() if value is not None}
    body = json.dumps({"inputs": inputs, "response_mode": mode, "user": "u"}).encode()
    server = server_of(EXPORTS[app][0])
    return call(server, "POST", "/v1/workflows/run", json_headers(app), body)


@each(("app",), EXPORTS)
def test_an_export_loads_without_an_error_and_with_a_warning_only_where_the_host_fails(
    app: str,
) -> None:
    """The names of graphs that no host can run begin with ``g_``."""
    loaded = server_of(EXPORTS[app][0]).host.apps[app]
    if loaded.workflow is not None:
        assert app.startswith("g_") or not loaded.warnings, loaded.warnings


@each(("app",), [app for app in EXPORTS if app != LIMITED])
def test_blocking_and_streaming_runs_end_alike(app: str) -> None:
    """With the same status and outputs of the same names, or with the same error."""
    workflow = server_of(EXPORTS[app][0]).host.apps[app].workflow
    if workflow is None or any(
        one.required and value_for(one) is None for one in workflow.variables
    ):
        return
    try:
        blocking, streaming = (answer(app, workflow, mode) for mode in ("blocking", "streaming"))
    except ConnectionResetError:  # a run that crashes breaks a stream off
        return
    assert b'"unknown"' not in blocking.body
    frames = [
        json.loads(line.removeprefix("data: "))
        for line in streaming.body.decode().splitlines()
        if line.startswith("data: ")
    ]
    if blocking.status == 200:
        one, other = blocking.json()["data"], frames[-1]["data"]
        if frames[-1]["event"] == "workflow_finished":
            assert (one["status"], one["error"]) == (other["status"], other["error"])
            assert (one["outputs"] or {}).keys() == (other["outputs"] or {}).keys()
        else:
            assert (one["status"], frames[-1]["event"]) == ("paused", "workflow_paused")
    elif frames:
        assert frames[-1]["event"] == "error"
        assert frames[-1]["message"] == blocking.json()["message"]
    else:
        assert (streaming.status, streaming.json()) == (blocking.status, blocking.json())
