"""Options of several commands, and what their values must be.

Each can be set by the environment too, as ``CONTRACT_<NAME>``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from contract.target import DEFAULT_MAX_RUNS, DEFAULT_TIMEOUT_S
from dify_wire.app_kind import OTHER_APP_KINDS
from dify_wire.option_values import base_url, completed_by, host_versions, key, seconds

if TYPE_CHECKING:
    from dify_wire.recording.folder import RecordingWriter
    from dify_wire.redaction.rules import Rule

FILE = click.Path(path_type=Path)
FOLDER = click.Path(path_type=Path, file_okay=False)
_Command = Callable[..., Any]
_Decorator = Callable[[_Command], _Command]
_KINDS = ", ".join(OTHER_APP_KINDS)


def option(*names: str, **attributes: Any) -> _Decorator:
    """An option that the environment can set too."""
    variable = "CONTRACT_" + names[0].removeprefix("--").replace("-", "_").upper()
    return click.option(*names, envvar=variable, show_envvar=True, **attributes)


def together(*options: _Decorator) -> _Decorator:
    """Several options as one decorator, in their order."""

    def decorate(command: _Command) -> _Command:
        for one in reversed(options):
            command = one(command)
        return command

    return decorate


# Values


def admin_url(context: click.Context, parameter: click.Parameter, url: str | None) -> str | None:
    """The URL of an admin API, with or without the path that all its endpoints share."""
    return base_url(context, parameter, url and url.rstrip("/").removesuffix("/__admin"))


def host_version(_: click.Context, __: click.Parameter, version: str) -> str | None:
    """None for ``auto``, else the recorded version that ``version`` names or begins."""
    if version == "auto":
        return None
    from dify_wire.profile import recorded_version
    from dify_wire.text_file import SpecError

    try:
        return recorded_version(version)
    except SpecError as error:
        raise click.BadParameter(error.message) from None


def _keys_by_label(message: str, labels: Collection[str] = ()) -> Callable[..., dict[str, str]]:
    """Reads ``KEY=LABEL`` options; each label is one of ``labels`` where some are given."""

    def read(_: click.Context, __: click.Parameter, apps: Sequence[str]) -> dict[str, str]:
        keys = {}
        for app in apps:
            key, _equals, label = app.rpartition("=")
            if not (key and label) or (labels and label not in labels):
                raise click.BadParameter(message)
            keys[label] = key
        return keys

    return read


def budget(max_runs: int | None, free: bool) -> int | None:
    """How many runs a host may start; there is a limit by default unless runs are free."""
    return DEFAULT_MAX_RUNS if max_runs is None and not free else max_runs


def _check_names() -> Iterable[str]:
    from contract.checks import CHECKS

    return CHECKS


# Options


def _max_runs(text: str, unlimited_with: str) -> _Decorator:
    text = f"{text}  [default: {DEFAULT_MAX_RUNS}; none with {unlimited_with}]"
    return option("--max-runs", type=click.IntRange(min=0), help=text)


_timeout = option(
    "--timeout",
    type=float,
    default=DEFAULT_TIMEOUT_S,
    show_default=True,
    callback=seconds,
    help="Seconds for a request with its whole response.",
)
_json = option("--json", "json", type=FILE, help="Write a report as JSON.")
_html = option("--html", type=FILE, help="Write a report as one HTML page.")
report_options = together(_json, _html)
base_url_option = option(
    "--base-url",
    required=True,
    callback=base_url,
    help="The host's URL, such as http://127.0.0.1:6060.",
)

run_options = together(
    base_url_option,
    option("--api-key", required=True, callback=key, help="The key of a workflow app."),
    option(
        "--secret-key", callback=key, help="The host's SECRET_KEY, to check what is signed with it."
    ),
    option(
        "--app",
        "app_keys",
        multiple=True,
        metavar="KEY=KIND",
        callback=_keys_by_label(f"expected KEY=KIND with a KIND of {_KINDS}", OTHER_APP_KINDS),
        help=f"The key of another app, {_KINDS}; repeatable.",
    ),
    option(
        "--inputs",
        type=FILE,
        help="Inputs of a run, in JSON or YAML, for another app than the document's.",
    ),
    option(
        "--app-file",
        type=FILE,
        help="The export of the key's app: what it requires and --inputs lacks gets a value.",
    ),
    option(
        "--files-url",
        callback=base_url,
        help="What the URLs of the host's files begin with, if they are absolute.",
    ),
    option(
        "--admin-url",
        callback=admin_url,
        help="The URL of the host's admin API (docs/admin.md), to move its clock; "
        "lifts the budget.",
    ),
    option("--admin-token", callback=key, help="Its X-Admin-Token, if one is needed."),
    option(
        "--only",
        multiple=True,
        metavar="NAME",
        shell_complete=completed_by(_check_names),
        help="Run only these checks; a name or a glob; repeatable.",
    ),
    option(
        "--skip",
        multiple=True,
        metavar="NAME",
        shell_complete=completed_by(_check_names),
        help="Leave these checks out; a name or a glob; repeatable.",
    ),
    option("--all-models", is_flag=True, help="Make an image with every model."),
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
    _max_runs("Never have more images made than this.", "--free-runs or --admin-url"),
    option("--fail-fast", is_flag=True, help="Stop at the first failure."),
    _timeout,
    option("--seed", type=int, default=0, show_default=True, help="Of generated requests."),
    option("--junit", type=FILE, help="Write a report as JUnit XML."),
    _json,
    _html,
    option(
        "--host-version",
        default="auto",
        shell_complete=completed_by(lambda: ("auto", *host_versions())),
        show_default=True,
        callback=host_version,
        help="The Dify version to compare the host with; auto: the one that it says it is.",
    ),
    click.option(
        "--confirm",
        is_flag=True,
        envvar="CONTRACT_CONFIRM",
        help="Show what it will cost and ask before the first request.",
    ),
)

redaction_options = together(
    option(
        "--redact",
        multiple=True,
        metavar="RULE",
        help="Take out more: header:NAME, field:NAME, field:/a/json/pointer or text:REGEX; "
        "repeatable.",
    ),
    option("--keep-user", is_flag=True, help="Leave the users' names as they are."),
)

comparison_options = together(
    option(
        "--ignore",
        multiple=True,
        metavar="RULE",
        help="Leave out KIND, KIND:PLACE or *:PLACE; repeatable.",
    ),
    option(
        "--timing",
        type=click.FloatRange(min=1),
        default=3.0,
        show_default=True,
        help="Note times that differ by this factor.",
    ),
    option("--strict-timing", is_flag=True, help="Times that differ are drift too."),
    option(
        "--allow-not-compared",
        is_flag=True,
        help="End with 0 though some requests could not be compared.",
    ),
    _max_runs("Never have a host make more images than this.", "--free-runs"),
    option("--free-runs", is_flag=True, help="Runs cost nothing: repeat all of them."),
    _timeout,
    _json,
    _html,
)


def key_options(side: str) -> _Decorator:
    """The keys of a host; ``side`` is ``-a``, ``-b``, or empty where there is one host."""
    of = f" of {side[1:]}" if side else ""
    variables = [f"CONTRACT_API_KEY{side.replace('-', '_').upper()}", "CONTRACT_API_KEY"]
    return together(
        click.option(
            f"--api-key{side}",
            callback=key,
            envvar=list(dict.fromkeys(variables)),
            show_envvar=True,
            help=f"The key of the workflow app{of}{', where that is a host' if side else ''}.",
        ),
        option(
            f"--secret-key{side}", callback=key, help=f"The SECRET_KEY{of}, to sign URLs again."
        ),
        option(
            f"--app{side}",
            f"apps{side.replace('-', '_')}",
            multiple=True,
            metavar="KEY=APP",
            callback=_keys_by_label(
                "expected KEY=APP, with an APP of the recordings: chat, unpublished, simple …"
            ),
            help=f"The key of another app{of}, as the recordings name it; repeatable.",
        ),
    )


def redaction_rules(rules: Sequence[str]) -> list[Rule]:
    """Raises ``click.UsageError`` for a rule that is not valid."""
    from dify_wire.redaction.rules import RuleError, parse_rule

    try:
        return [parse_rule(rule) for rule in rules]
    except RuleError as error:
        raise click.UsageError(f"--redact: {error}") from None


def warn_of_suspicions(folder: Path, writer: RecordingWriter) -> None:
    """Say once what in the recordings looks personal or secret, and which options take it out."""
    from dify_wire.redaction.suspicion import warning

    if message := warning(folder, writer.suspicions):
        click.echo(f"Warning: {message}", err=True)
