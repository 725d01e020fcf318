"""From settings to a running server: bind, build, announce, serve."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from socket import socket

from dify_wire.text_file import SpecError, readable, write_text
from fake_server.app import FakeServer, create_app
from fake_server.examples.requests import curl, key_examples, with_article
from fake_server.host_spec import HostSpec
from fake_server.server.log import BackgroundHandler, LineWriter, set_up_logging
from fake_server.server.server import Server, address, bind, check_certificate, collect_rarely
from fake_server.settings import Settings, SettingsError
from fake_server.workflow.model import App

_SHOWN_WARNINGS = 5
_SHOWN_KEYS = 5
_log = logging.getLogger("fake_server")


def serve_forever(settings: Settings) -> None:
    """Serve until a signal. Raises ``SettingsError`` or ``SpecError`` before a port is opened."""
    if settings.workers > 1 and not hasattr(os, "fork"):
        raise SettingsError(
            "workers", "Windows cannot share a port among workers; leave --workers out"
        )
    app = create_app(settings)
    check_certificate(settings)
    if settings.ready_file:
        settings.ready_file.unlink(missing_ok=True)  # an earlier server's
    sock = bind(settings)
    url = address(sock, settings.scheme)
    if settings.workers > 1:
        _serve_together(app, settings, sock, url)
        return
    log = _begin_log(app, settings)

    def announce() -> None:
        banner = LineWriter(sys.stdout, lambda _: "")
        banner.write(_banner(settings, app.host.apps, app.host.spec, url) + "\n")
        banner.flush()
        log.flush()
        if settings.ready_file:
            _write_ready_file(settings.ready_file, url, settings.api_keys[0])

    collect_rarely()
    try:
        Server(app, settings, announce).run(sockets=[sock])
    finally:
        app.close()


def _begin_log(app: FakeServer, settings: Settings) -> BackgroundHandler:
    log = set_up_logging(settings.log_format)
    app.access_log.write_line = log.write_request
    app.host.counters.log_lines_lost = lambda: log.lost
    log_warnings(app.host.apps.values())
    for warning in app.warnings:
        _log.warning("warning: %s", warning)
    return log


def _serve_together(app: FakeServer, settings: Settings, sock: socket, url: str) -> None:
    """Serve by several workers, from copies of ``app``."""
    from fake_server.server.workers import Workers

    def serve(listening: Callable[[], None]) -> None:
        log = _begin_log(app, settings)
        collect_rarely()
        try:
            Server(app, settings, listening, drains=True).run(sockets=[sock])
        finally:
            app.close()
            log.flush()

    def reload() -> bool:
        nonlocal app
        try:
            app = create_app(settings)
        except (SettingsError, SpecError) as error:
            sys.stderr.write(f"The workers go on as they are: {error}\n")
            return False
        return True

    def announce() -> None:
        sys.stdout.write(_banner(settings, app.host.apps, app.host.spec, url) + "\n")
        sys.stdout.flush()
        if settings.ready_file:
            _write_ready_file(settings.ready_file, url, settings.api_keys[0])

    code = Workers(settings.workers, serve, reload).run(announce)
    if code:
        sys.exit(code)


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


def _banner(settings: Settings, apps: Mapping[str, App], spec: HostSpec, url: str) -> str:
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
    return f"{first}{_requests(apps, spec, url)}"


def _requests(apps: Mapping[str, App], spec: HostSpec, url: str) -> str:
    """The document's request, and for each other key what it opens with a request for it."""
    first, *others = key_examples(apps, spec)
    run_url = f"{url}{spec.paths['runWorkflow']}"
    intro = (
        "The document's own request (the url in its response is an image; put the address before "
        "it)"
    )
    parts = [f"{intro}:\n\n{curl(run_url, first.key, first.body, 2)}\n"]
    for one in others[:_SHOWN_KEYS]:
        if one.same_as:
            parts.append(f"API key {one.key} opens the same app as {one.same_as}.\n")
        elif one.error:
            kind = with_article(one.app.kind)
            parts.append(f"API key {one.key} opens {kind} app, whose runs get {one.error}.\n")
        else:
            command = curl(run_url, one.key, one.body)
            parts.append(f"API key {one.key} opens {readable(one.app.name)}:\n\n{command}\n")
    if more := len(others[_SHOWN_KEYS:]):
        parts.append(f"And {more} more API keys; on this machine {url}/ shows them.\n")
    return "\n" + "\n".join(parts)
