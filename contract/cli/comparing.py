"""What ``diff`` and ``drift`` have in common: what they take, and how the reports are written."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from contract.cli import session
from contract.cli.options import (
    FILE,
    base_url,
    budget,
    key,
    max_runs_option,
    option,
    timeout_option,
    together,
)

if TYPE_CHECKING:
    from contract.diff.comparison import Comparison, How, Side
    from contract.diff.sides import Host


def labelled_keys(_: click.Context, __: click.Parameter, apps: Sequence[str]) -> dict[str, str]:
    """Keys by the labels of their apps, as recordings name them: a kind, or the name of an app
    file.
    """
    keys = {}
    for app in apps:
        api_key, equals, label = app.rpartition("=")
        if not (equals and api_key and label):
            raise click.BadParameter(
                "expected KEY=APP, the APP as the recordings name it: chat, unpublished, simple …"
            )
        keys[label] = api_key
    return keys


def lending(side: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The options with which a host lends its keys; ``side`` is ``-a``, ``-b``, or empty where
    there is one host.
    """
    of = f" of {side[1:]}" if side else ""
    return together(
        click.option(
            f"--api-key{side}",
            callback=key,
            envvar=list(
                dict.fromkeys(
                    [f"CONTRACT_API_KEY{side.replace('-', '_').upper()}", "CONTRACT_API_KEY"]
                )
            ),
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
            callback=labelled_keys,
            help=f"The key of another app{of}, as the recordings name it; repeatable.",
        ),
    )


comparing_options = together(
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
        help="Tell of times that differ so much.",
    ),
    option("--strict-timing", is_flag=True, help="Times that differ are drift too."),
    option(
        "--allow-not-compared",
        is_flag=True,
        help="End with 0 though some requests could not be compared.",
    ),
    max_runs_option("Never have a host make more images than this.", "--free-runs"),
    option("--free-runs", is_flag=True, help="Runs cost nothing: repeat all of them."),
    timeout_option,
    option("--json", "json_", type=FILE, help="Write a report as JSON."),
    option("--html", type=FILE, help="Write a report as one HTML page."),
)


def side(where: str, options: Mapping[str, Any], name: str) -> Side:
    """The host or the folder that ``where`` names. Raises ``click.UsageError`` and
    ``RecordingError``.
    """
    from contract.diff.sides import Folder
    from dify_wire.recording.folder import read_folder

    if "://" in where:
        return host(where, options, name)
    return Folder(Path(where), read_folder(Path(where)))


def host(url: str, options: Mapping[str, Any], name: str) -> Host:
    """The host at ``url``; ``name`` is that of its options: ``_a``, ``_b`` or empty."""
    from contract.diff.sides import Host
    from dify_wire.exchange import MAIN

    api_key = options[f"api_key{name}"]
    if api_key is None:
        flag = f"--api-key{name.replace('_', '-')}"
        raise click.UsageError(f"{flag} is missing: {url} has to be asked with a key")
    max_runs = budget(options["max_runs"], options["free_runs"])
    keys = {**options[f"apps{name}"], MAIN: api_key}
    return Host(
        base_url(None, None, url), keys, options[f"secret_key{name}"], max_runs, options["timeout"]
    )


def how(options: Mapping[str, Any]) -> How:
    from contract.diff.comparison import How
    from contract.diff.difference import RuleError, parse_ignored

    try:
        ignored = [parse_ignored(rule) for rule in options["ignore"]]
    except RuleError as error:
        raise click.UsageError(f"--ignore: {error}") from None
    return How(ignored, options["timing"], options["strict_timing"], options["allow_not_compared"])


def compared(a: Side, b: Side, options: Mapping[str, Any], files: session.Reports) -> Comparison:
    """Compare, and show how far it has come.

    Raises ``click.ClickException`` for a host that cannot be asked; ``files`` are written then too.
    """
    from contract.diff.comparison import compare, names_of, not_begun
    from contract.diff.sides import Host
    from contract.preflight import CouldNotRunError
    from contract.report.diff_html import write_html
    from contract.report.diff_json import write_json
    from contract.report.diff_terminal import DiffTerminal

    wanted = how(options)
    checks = (
        list(session.all_checks().values()) if isinstance(a, Host) and isinstance(b, Host) else []
    )
    terminal = DiffTerminal()
    terminal.begin((str(a), str(b)), names_of(a, b))
    try:
        with terminal.progress() as on_pair:
            return compare(a, b, wanted, checks, on_pair)
    except CouldNotRunError as error:
        comparison = not_begun(a, b, str(error))
        terminal.wrote(files.write_with(comparison, json=write_json, html=write_html))
        raise click.ClickException(comparison.cause) from None


def reports(options: Mapping[str, Any]) -> session.Reports:
    """The files to write, tried before anybody is asked."""
    files = session.Reports(None, options["json_"], options["html"])
    files.try_out()
    return files
