"""Admin calls for reference: the document that is faked, what its version does otherwise, the last
report of the contract suite, and what a replay replays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.types import ASGIApp

from dify_wire.overlay import read_overlay
from dify_wire.profile import REFERENCE_VERSION, overlay_paths
from dify_wire.spec import load
from dify_wire.text_file import SpecError, bundled, file_errors
from fake_server.admin.call import Admin, AdminError, Reply, json_bytes, query_of
from fake_server.contract_report import read_report
from fake_server.document import document_of
from fake_server.settings import Settings

MOST_RECORDINGS = 1_000
"""So many recordings are listed at once."""


async def spec(admin: Admin, request: Request) -> Reply:
    """The OpenAPI document of the version that is faked."""
    query = query_of(request, "openapi", "document")
    form = query["openapi"].choice(("3.2", "3.1")) if "openapi" in query else "3.2"
    vendors = "document" in query and query["document"].choice(("true", "false")) == "true"
    if vendors and "openapi" in query:
        query["openapi"].fail("the vendor's document is given as it is; leave this out")
    with _unusable_files():
        if vendors:
            made = await run_in_threadpool(_vendors_document, admin.host.settings.spec)
        else:
            made = await run_in_threadpool(_document, admin.create_app, admin.host.settings, form)
    return Reply(made)


@lru_cache(maxsize=2)
def _document(create: Callable[[Settings], ASGIApp], settings: Settings, form: str) -> bytes:
    version, overlays = settings.host_version, settings.overlays
    return json_bytes(document_of(version, settings.spec, overlays, create, form))


@lru_cache(maxsize=1)
def _vendors_document(spec: Path | None) -> bytes:
    return json_bytes(load(spec or bundled("openapi.yaml"), []))


async def profile(admin: Admin, request: Request) -> Reply:
    """The version that is faked, and what it does otherwise than the reference version."""
    query_of(request)
    settings = admin.host.settings
    with _unusable_files():
        chain = [*overlay_paths(settings.host_version), *settings.overlays]
        base = overlay_paths(REFERENCE_VERSION)
        differences = [one for path in chain if path not in base for one in _differences(path)]
    return Reply(
        {
            "version": admin.host.spec.version,
            "base": REFERENCE_VERSION,
            "overlays": [path.stem for path in chain],
            "differences": differences,
        }
    )


def _differences(path: Path) -> list[dict[str, Any]]:
    """What an overlay changes; several actions that say the same are one difference."""
    found: dict[str, dict[str, Any]] = {}
    with file_errors(path, "an OpenAPI overlay"):
        overlay = read_overlay(path)
        version = str(overlay.get("info", {}).get("version", path.stem))
        for action in overlay["actions"]:
            description = str(action.get("description", ""))
            if description:  # else it takes out what the next action puts in
                one = {"version": version, "description": description}
                found.setdefault(description, {**one, "evidence": _evidence(action)})
    return list(found.values())


def _evidence(action: Mapping[str, Any]) -> str | None:
    """The exchanges that show what an action says, or where else it was seen."""
    exchanges = action.get("x-evidence")
    if isinstance(exchanges, list) and exchanges:
        return ", ".join(map(str, exchanges))
    return str(action["x-source"]) if "x-source" in action else None


async def report(admin: Admin, request: Request) -> Reply:
    """The last report of the contract suite, from the file of --contract-report."""
    query_of(request)
    path = admin.host.settings.contract_report
    if path is None:
        raise AdminError(404, "there is no report; name one with --contract-report")
    with _unusable_files():
        found = await run_in_threadpool(read_report, path)
    return Reply({"file": str(path), "written_at": found.written_at, "report": found.value})


async def recordings(admin: Admin, request: Request) -> Reply:
    """What a replay replays, how often it did, and the requests that were not recorded."""
    query_of(request)
    replay = admin.replay
    if replay is None:
        raise AdminError(404, "nothing is replayed; name a folder with --replay")
    every = replay.recordings()
    return Reply(
        {
            "folder": str(admin.host.settings.replay),
            "recordings": [
                {
                    "file": one.label,
                    "method": one.request.method,
                    "path": one.request.path,
                    "app": one.app,
                    "status": one.status,
                    "used": used,
                }
                for one, used in every[:MOST_RECORDINGS]
            ],
            "more": len(every[MOST_RECORDINGS:]),
            "misses": [
                {
                    "method": miss.method,
                    "path": miss.path,
                    "at": round(miss.at, 3),
                    "given": miss.given,
                    "nearest": next(iter(miss.nearest), None),
                    "others": miss.nearest[1:],
                }
                for miss in reversed(replay.misses)
            ],
        }
    )


@contextmanager
def _unusable_files() -> Iterator[None]:
    """What a file of the user's has become since the start is no fault of the call."""
    try:
        yield
    except SpecError as error:
        raise AdminError(503, str(error)) from None
