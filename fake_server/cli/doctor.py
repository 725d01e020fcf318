"""The command ``doctor``: what is wrong with this machine, or with the settings."""

from __future__ import annotations

import errno
import json
import os
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

import click

from dify_wire.own_files import cache_folder
from dify_wire.text_file import SpecError, reason
from fake_server.cli.options import serve_options, unknown_variables
from fake_server.settings import Settings, SettingsError, listener_problems, read_settings

_SYMBOLS = {"good": "✓", "warning": "!", "wrong": "✗"}
_LONGEST_S = 2.0  # a program that listens and never responds
_LONGEST_BODY = 100_000
_ANOTHER_PORT = "choose another with --port, 0 for any free one"


class Finding(NamedTuple):
    """What was looked at, what was found, and what to do about it where it is not good."""

    subject: str
    result: Literal["good", "warning", "wrong"]
    detail: str
    advice: str = ""


@click.command()
@serve_options
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON, for scripts.")
def doctor(as_json: bool, **values: Any) -> None:
    """Look for what is wrong with this machine and the settings.

    Takes the settings of serve. Exit code 0: nothing is wrong, 1: something is, with what to do.
    """
    findings = [
        *_installation(),
        *_settings(values),
        *_environment(),
        *_port(str(values["host"]), int(values["port"]), [*values["api_keys"]]),
        *_drawing(),
        *_clock(),
    ]
    if as_json:
        rows = [one._asdict() for one in findings]
        click.echo(json.dumps(rows, ensure_ascii=False, indent=2))
    else:
        for one in findings:
            advice = f"; {one.advice}" if one.advice else ""
            click.echo(f"{_SYMBOLS[one.result]} {one.subject}: {one.detail}{advice}")
    if any(one.result == "wrong" for one in findings):
        click.get_current_context().exit(1)


def _installation() -> Iterator[Finding]:
    import platform
    from importlib.metadata import version
    from importlib.util import find_spec

    python = f"{platform.python_implementation()} {platform.python_version()}"
    yield Finding("installation", "good", f"fake-dify {version('fake-dify')} on {python}")
    if find_spec("schemathesis") is None:
        advice = "pip install 'fake-dify[contract]' if you want to check hosts"
        yield Finding("contract suite", "warning", "is not installed", advice)
    else:
        yield Finding("contract suite", "good", "is installed")
    folder = cache_folder()
    there = (
        next((one for one in (folder, *folder.parents) if one.exists()), None) if folder else None
    )
    if there is None or not (there.is_dir() and os.access(there, os.W_OK)):
        advice = "set XDG_CACHE_HOME to a folder that can be"
        detail = f"{folder or 'the home folder'} cannot be written, so each start takes longer"
        yield Finding("cache", "warning", detail, advice)
    else:
        yield Finding("cache", "good", str(folder))


def _settings(values: dict[str, Any]) -> Iterator[Finding]:
    from fake_server.app import create_app

    commands = click.get_current_context().find_root().command
    assert isinstance(commands, click.Group)
    for problem in unknown_variables(commands):
        yield Finding("settings", "warning", problem, "correct the name of the variable")
    try:
        create_app(read_settings(values))
    except SettingsError as error:
        flag = "--" + error.setting.replace("_", "-")
        yield Finding("settings", "wrong", f"{flag}: {error.message}")
    except SpecError as error:
        for one in error.all:
            yield Finding("settings", "wrong", str(one))
    else:
        yield Finding("settings", "good", "they and the files that they name can be used")


def _environment() -> Iterator[Finding]:
    import urllib.request

    proxies = urllib.request.getproxies()
    if proxies.get("http") and not urllib.request.proxy_bypass("127.0.0.1"):
        detail = "HTTP_PROXY is set, so clients ask the proxy for servers of this machine"
        advice = "set NO_PROXY=127.0.0.1,localhost"
        yield Finding("proxy", "warning", detail, advice)
    else:
        yield Finding("proxy", "good", "none between clients and this machine's servers")
    encoding = (getattr(sys.stdout, "encoding", None) or "").replace("-", "").lower()
    if encoding != "utf8":
        advice = "set PYTHONUTF8=1"
        yield Finding("output", "warning", f"{encoding} may not have Chinese letters", advice)


def _port(host: str, port: int, keys: list[str]) -> Iterator[Finding]:
    """Whether ``serve`` could listen, or who does."""
    if any(listener_problems(host, port, None)):
        return  # a finding of the settings
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    address = f"[{host}]:{port}" if family == socket.AF_INET6 else f"{host}:{port}"
    try:
        with socket.create_server((host, port), family=family):
            yield Finding("port", "good", f"{address} is free for fake-server serve")
            return
    except PermissionError as error:
        yield Finding("port", "wrong", f"{address}: {reason(error)}", _ANOTHER_PORT)
        return
    except (OSError, UnicodeError) as error:
        if getattr(error, "errno", None) != errno.EADDRINUSE:
            detail = f"{host} is not an address of this machine"
            yield Finding("port", "wrong", detail, "choose another with --host")
            return
    base_url = f"http://{address}"
    health = _json_of(f"{base_url}/__admin/health", {})
    if "host_version" not in health:
        advice = f"end what listens there, or {_ANOTHER_PORT}"
        yield Finding("port", "wrong", f"{address} is taken, not by a fake", advice)
        return
    yield Finding("port", "good", f"a fake of Dify {health['host_version']} serves {base_url}")
    key = keys[0] if keys else Settings().api_keys[0]
    if not _json_of(f"{base_url}/v1/parameters?user=doctor", {"Authorization": f"Bearer {key}"}):
        advice = "use the key that it printed when it started"
        yield Finding("key", "wrong", "that fake does not know the key of these settings", advice)


def _json_of(url: str, headers: dict[str, str]) -> dict[str, Any]:
    """The JSON object at ``url``; empty where there is none. Never by way of a proxy."""
    import urllib.request
    from http.client import HTTPException

    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        request = urllib.request.Request(url, headers=headers)  # noqa: S310  # http, made above
        with opener.open(request, timeout=_LONGEST_S) as response:
            content = json.loads(response.read(_LONGEST_BODY))
    except (OSError, ValueError, RecursionError, HTTPException):
        return {}
    return content if isinstance(content, dict) else {}


def _drawing() -> Iterator[Finding]:
    try:
        from fake_server.images import ImageRecord, render

        content = render(ImageRecord("中文", "model", 1, 64, 64))
    except (ImportError, OSError) as error:
        detail = f"cannot be drawn: {error}"
        yield Finding("images", "wrong", detail, "install pillow and fake-dify again")
    else:
        yield Finding("images", "good", f"drawn with Chinese letters, {len(content)} bytes")


def _clock() -> Iterator[Finding]:
    """Signed URLs hold the time; a host and a client whose clocks differ by minutes disagree."""
    installed = Path(__file__).stat().st_mtime
    if time.time() < installed:
        detail = f"{time.ctime()} is before the installation of this program"
        yield Finding("clock", "warning", detail, "set the clock: URLs are signed with its time")
    else:
        yield Finding("clock", "good", time.strftime("%Y-%m-%d %H:%M:%S %Z"))
