"""The OpenAPI document of what is faked: for ``fake-server spec`` and for the admin API."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from starlette.types import ASGIApp

from dify_wire.profile import overlay_paths
from dify_wire.spec import load, to_openapi_31
from dify_wire.text_file import bundled
from fake_server.settings import Settings
from fake_server.spec import load_host

_RUN = "runWorkflow"
_STREAM = "text/event-stream"
_CLOCK = "2024-04-24T06:09:14Z"
"""When the document's own example began."""


def document_of(
    host_version: str,
    spec: Path | None,
    overlays: Sequence[Path],
    create_app: Callable[[Settings], ASGIApp],
    openapi: str = "3.2",
) -> dict[str, Any]:
    """The merged document of a recorded version.

    As OpenAPI ``3.1`` it is for tools that do not know ``itemSchema``, the events of a stream; the
    stream has an example there, made with ``create_app``. Raises ``SpecError``; must not be called
    in an event loop.
    """
    document = load(spec or bundled("openapi.yaml"), [*overlay_paths(host_version), *overlays])
    if openapi == "3.1":
        document = dict(to_openapi_31(document))
        settings = Settings(
            host_version=host_version,
            spec=spec,
            overlays=tuple(overlays),
            seed=1,
            speed=None,
            clock=_CLOCK,
        )
        _add_stream(document, settings, create_app(settings))
    return document


def _add_stream(document: dict[str, Any], settings: Settings, app: ASGIApp) -> None:
    """Give the stream of a run in ``document`` an example: what ``app`` with ``settings`` sends."""
    import asyncio

    for path, item in document["paths"].items():
        for operation in item.values():
            if isinstance(operation, dict) and operation.get("operationId") == _RUN:
                media = operation["responses"].get("200", {}).get("content", {}).get(_STREAM)
                if media is not None:
                    stream = asyncio.run(_stream(path, settings, app))
                    media["examples"] = {"stream": {"value": stream}}


async def _stream(path: str, settings: Settings, app: ASGIApp) -> str:
    import httpx

    example = load_host(settings.host_version, settings.spec, settings.overlays).example
    headers = {"Authorization": f"Bearer {settings.api_keys[0]}"}
    body = {**example, "response_mode": "streaming"}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app)) as client:
        response = await client.post(f"http://{settings.host}{path}", json=body, headers=headers)
    return response.text
