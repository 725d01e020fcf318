"""From settings to a running server: bind, build, announce, serve."""

from __future__ import annotations

import json
import logging
import os
import shlex
import sys
from collections.abc import Iterable
from pathlib import Path

from dify_wire.text_file import write_text
from fake_server.app import create_app
from fake_server.host_spec import HostSpec
from fake_server.server.log import LineWriter, set_up_logging
from fake_server.server.server import Server, address, bind, check_certificate, collect_rarely
from fake_server.settings import Settings
from fake_server.workflow.model import App

_SHOWN_WARNINGS = 5
_log = logging.getLogger("fake_server")


def serve_forever(settings: Settings) -> None:
    """Serve until a signal. Raises ``SettingsError`` or ``SpecError`` before a port is opened."""
    app = create_app(settings)
    check_certificate(settings)
    if settings.ready_file:
        settings.ready_file.unlink(missing_ok=True)  # an earlier server's
    sock = bind(settings)
    log = set_up_logging(settings.log_format)
    app.access_log.write_line = log.write_request
    app.host.counters.log_lines_lost = lambda: log.lost
    log_warnings(app.host.apps.values())
    for warning in app.warnings:
        _log.warning("warning: %s", warning)
    url = address(sock, settings.scheme)

    def announce() -> None:
        banner = LineWriter(sys.stdout, lambda _: "")
        banner.write(_banner(settings, app.host.spec, url) + "\n")
        banner.flush()
        log.flush()
        if settings.ready_file:
            _write_ready_file(settings.ready_file, url, settings.api_keys[0])

    collect_rarely()
    try:
        Server(app, settings, announce).run(sockets=[sock])
    finally:
        app.close()


def log_warnings(apps: Iterable[App]) -> None:
    """Log what may be wrong with the app files, some of it for each file."""
    for app in {id(app): app for app in apps}.values():
        for warning in app.warnings[:_SHOWN_WARNINGS]:
            _log.warning("warning: %s", warning)
        if more := len(app.warnings[_SHOWN_WARNINGS:]):
            path = app.warnings[0].path
            _log.warning("warning: %s: %d more; see fake-server app check %s", path, more, path)


def _write_ready_file(path: Path, url: str, api_key: str) -> None:
    write_text(path, json.dumps({"url": url, "api_key": api_key, "pid": os.getpid()}) + "\n")


def _banner(settings: Settings, spec: HostSpec, url: str) -> str:
    if settings.speed is None:
        speed = "without waiting"
    elif settings.speed == 1:
        speed = "at the host's speed"
    else:
        speed = f"at {settings.speed:g} times the host's speed"
    version = spec.version
    if version != settings.host_version and version.startswith(settings.host_version):
        version += f" (the newest recorded {settings.host_version})"
    first = f"Fake Dify {version} on {url}, {speed}. Ctrl-C ends it.\n"
    first += f"API key: {settings.api_keys[0]}\n"
    if settings.replay is not None:
        miss = settings.on_miss or "error"
        return f"{first}Responses come from {settings.replay}; what was not recorded: {miss}.\n"
    return (
        f"{first}\n"
        "The document's own request (the url in its response is an image; put the address before "
        "it):\n\n"
        f"{_document_curl(settings, spec, url)}\n"
    )


def _document_curl(settings: Settings, spec: HostSpec, url: str) -> str:
    """The document's example as a command to paste."""
    body = json.dumps(spec.example, ensure_ascii=False, indent=2)
    insecure = "-k " if settings.ssl_certfile else ""
    return (
        f"curl {insecure}-X POST '{url}{spec.paths['runWorkflow']}' \\\n"
        f"  --header 'Authorization: Bearer {settings.api_keys[0]}' \\\n"
        "  --header 'Content-Type: application/json' \\\n"
        f"  --data-raw {shlex.quote(body)}"
    )
