"""The command ``examples``: programs that run an app of a host."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from dify_wire.command import CommandError
from fake_server.cli.request import (
    API_KEY,
    BASE_URL,
    api_key_for,
    check_names,
    check_text,
    named_values,
)
from fake_server.settings import DEFAULT_API_KEY, Settings, SettingsError

if TYPE_CHECKING:
    from fake_server.client.runs import Client, Form
    from fake_server.host_spec import HostSpec

_TIMEOUT_S = 10.0
_NAMES = ("curl", "python", "js", "go", "java")


@click.command(
    epilog="""\b
Examples:
  fake-server examples python > run.py
  fake-server examples go --api-key app-cats --input text="a black cat"
  fake-server examples js --app my-export.yml --blocking
"""
)
@click.argument("language", required=False, type=click.Choice(_NAMES))
@click.option("--list", "as_list", is_flag=True, help="List the languages and what each needs.")
@BASE_URL
@API_KEY
@click.option(
    "--app",
    metavar="FILE[+FAKE]",
    help="Take the inputs from this app file instead of asking the host.",
)
@click.option(
    "--input",
    "inputs",
    multiple=True,
    metavar="NAME=VALUE",
    help="An input of the app instead of the example's; NAME=@FILE uploads a file; repeatable.",
)
@click.option("--user", help="The end user of the run.  [default: the document's]")
@click.option(
    "--streaming/--blocking",
    default=True,
    show_default=True,
    help="Read the events of the run, or wait for one response.",
)
@click.option("--json", "as_json", is_flag=True, help="As JSON, for scripts.")
def examples(
    *,
    language: str | None,
    as_list: bool,
    base_url: str,
    api_key: str | None,
    app: str | None,
    inputs: tuple[str, ...],
    user: str | None,
    streaming: bool,
    as_json: bool,
) -> None:
    """Print a program in LANGUAGE that runs an app of a host and saves its images.

    The program handles errors, and with --streaming it shows the nodes of the run. Its inputs fit
    the app of the API key. Without LANGUAGE the languages are listed.
    """
    from fake_server.examples.programs import LANGUAGES, render

    if language is None or as_list:
        every = [one for one in LANGUAGES.values() if language in (None, one.name)]
        if as_json:
            click.echo(json.dumps([one._asdict() for one in every], indent=2))
        else:
            for one in every:
                click.echo(f"{one.name:8}{one.run:16}{one.needs}")
        return
    key = api_key_for(base_url, api_key)
    check_text(*inputs, user or "")
    body = _body(base_url, key, app, inputs, user)
    body["response_mode"] = "streaming" if streaming else "blocking"
    chosen = LANGUAGES[language]
    code = render(chosen, base_url, key, body)
    if as_json:
        click.echo(json.dumps({**chosen._asdict(), "code": code}, ensure_ascii=False, indent=2))
    else:
        click.echo(code, nl=False)


def _body(
    base_url: str, api_key: str, app: str | None, inputs: tuple[str, ...], user: str | None
) -> dict[str, Any]:
    """The document's request with inputs of the app. Raises ``CommandError``."""
    from fake_server.client.runs import Client, input_value, inputs_of
    from fake_server.examples.inputs import example_inputs
    from fake_server.spec import load_host

    spec = load_host(Settings().host_version)
    user = user or str(spec.example["user"])
    given = named_values(inputs)
    with Client(base_url, api_key, user, _TIMEOUT_S) as client:
        form = _form_of_file(app, spec) if app else _form(client, base_url, api_key, spec)
        values, fields = example_inputs(form, spec.example["inputs"]), inputs_of(form)
        check_names(given, fields)
        for name, text in given.items():
            values[name] = input_value(fields[name], text, client)
    return {**spec.example, "inputs": values, "user": user}


def _form(client: Client, base_url: str, api_key: str, spec: HostSpec) -> Form:
    """The start variables as the host gives them; without a host those of the default app."""
    from fake_server.client.errors import UnreachableError

    try:
        return client.form()
    except UnreachableError as error:
        if api_key != DEFAULT_API_KEY:
            hint = "or name the app's file with --app"
            raise CommandError(f"{error.message}; {hint}") from None
        click.echo(f"Nothing listens at {base_url}: start it with fake-server serve.", err=True)
        return _form_of_file(None, spec)


def _form_of_file(what: str | None, spec: HostSpec) -> Form:
    """The start variables of an app file; for None those of the default app."""
    from fake_server.apps import load_apps

    apps = (("named", what),) if what else ()
    try:
        found = load_apps(("default",), apps, None, spec)
    except SettingsError as error:
        raise CommandError(f"--app: {error.message}") from None
    workflow = found["named" if what else "default"].workflow
    if workflow is None:
        raise CommandError(f"--app: {what} is no workflow app; no program can run it")
    return [(one.type, one.entry) for one in workflow.variables]
