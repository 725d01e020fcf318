"""What the server says of itself, and its reset."""

from __future__ import annotations

import dataclasses
import importlib.metadata
from pathlib import Path
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from dify_wire.redaction.pseudonyms import REDACTED
from fake_server.admin.call import Admin, Said
from fake_server.admin.clock import shown_clock
from fake_server.admin.fields import object_of, whole
from fake_server.reset import reset as reset_host
from fake_server.settings import INSTANT


async def health(admin: Admin, request: Request) -> Said:
    """Whether the server is well, and what it is."""
    host = admin.host
    return Said(
        {
            "status": "ending" if host.journal.closed else "ok",
            "version": project_version(),
            "host_version": host.settings.host_version,
            "uptime_s": round(host.counters.uptime_s, 3),
            "clock": shown_clock(host.clock),
            "runs_running": host.store.runs_running,
        }
    )


def project_version() -> str:
    """The version that is installed; "unknown" for files that are not."""
    try:
        return importlib.metadata.version("fake-dify")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


async def settings(admin: Admin, request: Request) -> Said:
    """The settings that count, without what opens anything."""
    shown = {name: _plain(value) for name, value in dataclasses.asdict(admin.host.settings).items()}
    shown["speed"] = INSTANT if shown["speed"] is None else shown["speed"]
    shown["api_keys"] = [REDACTED] * len(shown["api_keys"])
    shown["apps"] = [[REDACTED, what] for _, what in shown["apps"]]
    shown["secret_key"] = REDACTED
    shown["admin_token"] = REDACTED if shown["admin_token"] else None
    return Said(shown)


def _plain(value: Any) -> Any:
    if isinstance(value, tuple | list):
        return [_plain(inner) for inner in value]
    return str(value) if isinstance(value, Path) else value


async def description(admin: Admin, request: Request) -> Response:
    """The OpenAPI description of these calls."""
    text = await run_in_threadpool((Path(__file__).parent / "admin.yaml").read_bytes)
    return Response(text, media_type="application/yaml")


async def reset(admin: Admin, request: Request) -> Said:
    """Be as at the start."""
    said = await object_of(request, ("seed",))
    seed = (
        None if said.get("seed") is None else whole(said["seed"], "seed", -(1 << 63), (1 << 64) - 1)
    )
    reset_host(admin.host, seed)
    return Said({"reset": True, "seed": admin.host.settings.seed if seed is None else seed})
