"""A request for each key of a host, for the banner and the front page."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from dify_wire.app_kind import AppKind
from fake_server.examples.inputs import example_inputs
from fake_server.host_spec import HostError, HostSpec
from fake_server.workflow.model import App


class KeyExample(NamedTuple):
    """What an API key opens, with the body of a request for it."""

    key: str
    app: App
    body: Mapping[str, Any]
    error: str
    """Status and code of what every run gets; empty where the app runs."""
    same_as: str
    """An earlier key of the same app."""


def key_examples(apps: Mapping[str, App], spec: HostSpec) -> Iterator[KeyExample]:
    """An example for each key, in the order of ``apps``: the document's own for the first."""
    first: dict[str, str] = {}
    for key, app in apps.items():
        earlier = first.setdefault(app.app_id, key)
        body = spec.example
        if app.app_id != next(iter(first)) and app.workflow is not None:
            variables = ((one.type, one.entry) for one in app.workflow.variables)
            body = {**body, "inputs": example_inputs(variables, body["inputs"])}
        error = _error(app, spec)
        shown = f"{error.status} {error.body['code']}" if error else ""
        yield KeyExample(key, app, body, shown, earlier if earlier != key else "")


def _error(app: App, spec: HostSpec) -> HostError | None:
    """What every run of ``app`` gets."""
    if app.kind.value in spec.request.app_errors:
        return spec.errors(spec.request.app_errors[app.kind.value])
    if app.kind is AppKind.CHAT:
        return spec.errors("not_workflow_app")
    return None if app.workflow else spec.errors("workflow_unpublished")


def with_article(kind: str) -> str:
    return f"an {kind}" if kind[0] in "aeiou" else f"a {kind}"


def curl(url: str, key: str | None, body: Mapping[str, Any], indent: int | None = None) -> str:
    """A command that sends ``body`` to ``url``, where a fake may have a certificate of its own.
    Without a key it takes the environment variable ``API_KEY``.
    """
    data = json.dumps(body, ensure_ascii=False, indent=indent)
    insecure = "-k " if url.startswith("https:") else ""
    bearer = '"Authorization: Bearer $API_KEY"'
    if key is not None:
        bearer = shlex.quote(f"Authorization: Bearer {key}")
    return (
        f"curl {insecure}-X POST {shlex.quote(url)} \\\n"
        f"  --header {bearer} \\\n"
        "  --header 'Content-Type: application/json' \\\n"
        f"  --data-raw {shlex.quote(data)}"
    )
