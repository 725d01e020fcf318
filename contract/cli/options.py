"""What the commands take: options that the environment can set too, and what their values have to
be.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click

from contract.target import DEFAULT_MAX_RUNS, DEFAULT_TIMEOUT_S
from dify_wire.app_kind import OTHER_APP_KINDS

if TYPE_CHECKING:
    from dify_wire.recording.folder import RecordingWriter
    from dify_wire.redaction.rules import Rule

FILE = click.Path(path_type=Path)
_PREFIX = "CONTRACT_"
_Command = Callable[..., Any]


def option(*names: str, **attributes: Any) -> Callable[[_Command], _Command]:
    """An option that the environment can set too, as ``CONTRACT_<NAME>``."""
    variable = _PREFIX + names[0].removeprefix("--").replace("-", "_").upper()
    return click.option(*names, envvar=variable, show_envvar=True, **attributes)


def base_url(_: click.Context | None, __: click.Parameter | None, url: str) -> str:
    """The address without a path's last slash, and without the ``/v1`` that Dify's console shows
    with it.
    """
    try:
        parts = urlsplit(url)
        whole = parts.scheme in ("http", "https") and parts.hostname and (parts.port or 1)
    except ValueError as error:
        raise click.BadParameter(f"no address of a host: {error}") from None
    if "@" in parts.netloc:
        raise click.BadParameter(
            "a name and a password have no place in it; the host is asked with the API key alone"
        )
    if not whole or parts.query or parts.fragment or not url.isascii() or not url.isprintable():
        raise click.BadParameter(f"{url!r} is no address of a host, such as http://127.0.0.1:6060")
    return url.rstrip("/").removesuffix("/v1")


def files_url(context: click.Context, parameter: click.Parameter, url: str | None) -> str | None:
    return None if url is None else base_url(context, parameter, url)


def admin_url(context: click.Context, parameter: click.Parameter, url: str | None) -> str | None:
    """The address of an admin API, with or without the path that all its calls begin with."""
    return (
        None
        if url is None
        else base_url(context, parameter, url.rstrip("/").removesuffix("/__admin"))
    )


def key(_: click.Context, parameter: click.Parameter, key: str | None) -> str | None:
    if key is not None and not (key == key.strip() != "" and key.isascii() and key.isprintable()):
        message = "is empty, or has characters that no header can carry, such as a blank at its end"
        raise click.BadParameter(message, param=parameter)
    return key


def app_keys(_: click.Context, __: click.Parameter, apps: Sequence[str]) -> dict[str, str]:
    keys = {}
    for app in apps:
        key, equals, kind = app.rpartition("=")
        if not (equals and key) or kind not in OTHER_APP_KINDS:
            raise click.BadParameter(
                f"expected KEY=KIND with a KIND of {', '.join(OTHER_APP_KINDS)}"
            )
        keys[kind] = key
    return keys


def seconds(_: click.Context, __: click.Parameter, seconds: float) -> float:
    if not (math.isfinite(seconds) and 0 < seconds <= threading.TIMEOUT_MAX):
        raise click.BadParameter(f"{seconds} is no number of seconds to wait")
    return seconds


def together(*options: Callable[[_Command], _Command]) -> Callable[[_Command], _Command]:
    """Several options as one decorator, in their order."""

    def decorate(command: _Command) -> _Command:
        for one in reversed(options):
            command = one(command)
        return command

    return decorate


timeout_option = option(
    "--timeout",
    type=float,
    default=DEFAULT_TIMEOUT_S,
    show_default=True,
    callback=seconds,
    help="Seconds for a request with its whole answer.",
)


def max_runs_option(promise: str, free_with: str) -> Callable[[_Command], _Command]:
    """``--max-runs``, which keeps ``promise``; there is no bound by default with the flags that
    ``free_with`` names.
    """
    told = f"{promise}  [default: {DEFAULT_MAX_RUNS}; none with {free_with}]"
    return option("--max-runs", type=click.IntRange(min=0), help=told)


def budget(max_runs: int | None, free: bool) -> int | None:
    """How many runs a host may be made to start: what ``--max-runs`` says, else the default unless
    they are free.
    """
    return DEFAULT_MAX_RUNS if max_runs is None and not free else max_runs


judging_options = together(
    option(
        "--base-url",
        required=True,
        callback=base_url,
        help="The host's address, such as http://127.0.0.1:6060.",
    ),
    option("--api-key", required=True, callback=key, help="The key of a workflow app."),
    option(
        "--secret-key", callback=key, help="The host's SECRET_KEY, to judge what is signed with it."
    ),
    option(
        "--app",
        "app_keys",
        multiple=True,
        metavar="KEY=KIND",
        callback=app_keys,
        help=f"The key of another app, {', '.join(OTHER_APP_KINDS)}; repeatable.",
    ),
    option(
        "--files-url",
        callback=files_url,
        help="What stands before the URLs of the host's files, where they are absolute.",
    ),
    option(
        "--admin-url",
        callback=admin_url,
        help="The address of the host's admin API (docs/admin.md), to move its clock; lifts the budget.",
    ),
    option("--admin-token", callback=key, help="Its X-Admin-Token, where one is needed."),
    option(
        "--only",
        multiple=True,
        metavar="NAME",
        help="Judge these checks alone; a name or a glob; repeatable.",
    ),
    option(
        "--skip",
        multiple=True,
        metavar="NAME",
        help="Leave these checks out; a name or a glob; repeatable.",
    ),
    option("--all-models", is_flag=True, help="Ask for an image of every model."),
    option(
        "--strict-observed",
        is_flag=True,
        help="Fail for differences between recorded versions too.",
    ),
    option(
        "--free-runs",
        is_flag=True,
        help="Runs cost nothing: generate valid requests, without a budget.",
    ),
    max_runs_option("Never have more images made than this.", "--free-runs or --admin-url"),
    option("--fail-fast", is_flag=True, help="Stop at the first failure."),
    timeout_option,
    option("--seed", type=int, default=0, show_default=True, help="Of generated requests."),
    option("--junit", type=FILE, help="Write a report as JUnit XML."),
    option("--json", "json_", type=FILE, help="Write a report as JSON."),
    option("--html", type=FILE, help="Write a report as one HTML page."),
    option(
        "--host-version",
        help="The Dify version to name in the reports.  [default: what the host says]",
    ),
    click.option(
        "--confirm",
        is_flag=True,
        envvar="CONTRACT_CONFIRM",
        help="Say what it will cost and ask before the first request.",
    ),
)
"""Everything that ``run`` takes, and ``record`` with it."""

redaction_options = together(
    option(
        "--redact",
        multiple=True,
        metavar="RULE",
        help="Take out more: header:NAME, field:NAME, field:/a/json/pointer or text:REGEX; repeatable.",
    ),
    option("--keep-user", is_flag=True, help="Leave the users' names as they are."),
)
"""What ``record`` takes out before it writes."""


def redaction_rules(rules: Sequence[str]) -> list[Rule]:
    """The rules in ``rules``. Raises ``click.UsageError`` for one that cannot be used."""
    from dify_wire.redaction.rules import RuleError, parse_rule

    try:
        return [parse_rule(rule) for rule in rules]
    except RuleError as error:
        raise click.UsageError(f"--redact: {error}") from None


def warn_of_suspicions(folder: Path, writer: RecordingWriter) -> None:
    """Say once what in the recordings looks personal or secret, with the options that take it
    out.
    """
    from dify_wire.redaction.suspicion import warning

    if message := warning(folder, writer.suspicions):
        click.echo(f"Warning: {message}", err=True)
