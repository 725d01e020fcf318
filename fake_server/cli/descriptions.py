"""The commands that describe what the fake does: ``scenarios``, ``spec`` and ``app check``."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import click

from dify_wire.command import CommandError, CommandGroup
from dify_wire.option_values import completed_by, host_versions
from fake_server.cli.options import named_by_flag, recorded, setting


def _scenario_names() -> Iterable[str]:
    from fake_server.scenarios.behaviours import BEHAVIOURS

    return BEHAVIOURS


@click.command()
@click.argument("name", required=False, shell_complete=completed_by(_scenario_names))
@click.option("--json", "as_json", is_flag=True, help="All of it as JSON, for scripts.")
@click.option(
    "--schema", is_flag=True, help="Print the JSON Schema of files for --scenarios, for editors."
)
def scenarios(name: str | None, as_json: bool, schema: bool) -> None:
    """List what can go wrong on demand, or describe the scenario NAME."""
    import json

    from fake_server.scenarios import describe
    from fake_server.scenarios.behaviours import BEHAVIOURS, find
    from fake_server.scenarios.parameters import ScenarioError
    from fake_server.scenarios.rules import SCHEMA

    if schema:
        click.echo(SCHEMA.read_text("utf-8"), nl=False)
        return
    try:
        chosen = None if name is None else find(name)
    except ScenarioError as error:
        raise CommandError(str(error)) from None
    if as_json:
        every = [describe.to_json(one) for one in BEHAVIOURS.values()]
        described = every if chosen is None else describe.to_json(chosen)
        click.echo(json.dumps(described, indent=2, ensure_ascii=False))
    else:
        click.echo(describe.listing() if chosen is None else describe.page(chosen))


@click.command()
@setting("host_version", "The Dify version whose overlay applies.")
@setting("spec", "Another openapi.yaml.")
@setting("overlays", "Applied after the overlay of the host version; repeatable.")
@click.option(
    "--openapi",
    type=click.Choice(["3.2", "3.1"]),
    default="3.2",
    show_default=True,
    help="3.1 is for tools that do not know itemSchema, the events of a stream; the stream has an "
    "example there.",
)
@click.option("--json", "as_json", is_flag=True, help="As JSON instead of YAML.")
def spec(
    host_version: str, spec: Path | None, overlays: tuple[Path, ...], openapi: str, as_json: bool
) -> None:
    """Print the OpenAPI document of a host version: the vendor's document with its overlays."""
    import json

    from dify_wire.yaml_file import dump_yaml
    from fake_server.app import create_app
    from fake_server.document import document_of

    document = document_of(recorded(host_version), spec, overlays, create_app, openapi)
    if as_json:
        click.echo(json.dumps(document, indent=2, ensure_ascii=False))
    else:
        click.echo(dump_yaml(document), nl=False)


@click.group(cls=CommandGroup)
def app() -> None:
    """Look at app files, such as exports of Dify."""


@app.command()
@click.argument("file")
@click.option(
    "--host-version",
    shell_complete=completed_by(host_versions),
    help="The Dify version to check for; by default one that fits the export.",
)
@click.option(
    "--default-app", is_flag=True, help="FILE is for --workflow: the spec has the inputs."
)
@click.option("--json", "as_json", is_flag=True, help="As JSON, for scripts.")
@named_by_flag()
def check(file: str, host_version: str | None, default_app: bool, as_json: bool) -> None:
    """Check FILE (export.yml or export.yml+fake.yml): inputs, what each node will do, outputs,
    warnings, and the Dify versions that it fits.

    Exit code 2 means that it cannot be used, with every reason.
    """
    from fake_server.apps import app_files
    from fake_server.settings import SettingsError
    from fake_server.workflow.report import checked

    version = recorded(host_version) if host_version else None
    try:
        files = app_files(file)
    except SettingsError as error:
        raise CommandError(f"FILE: {error.message}") from None
    click.echo(checked(*files, version, default_app=default_app, as_json=as_json))
