"""The command ``fake-server``: serve, record, request, sign, verify, scenarios, spec, app.

Each setting is a flag, else ``FAKE_SERVER_<NAME>`` from the environment, else the same from
``.env``, else a key of the TOML file that ``--config`` names, else its default. Exit codes: 0 for a
good end (Ctrl-C and SIGTERM of a server among them), 1 where ``verify`` refuses or a recording was
lost, 2 for anything that has to be put right first.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from dify_wire.command import exit_code, with_debug
from dify_wire.strict import did_you_mean
from fake_server.cli.descriptions import app, scenarios, spec
from fake_server.cli.options import PREFIX, read_dotenv
from fake_server.cli.request import request
from fake_server.cli.servers import record, serve
from fake_server.cli.signatures import sign, verify


def main() -> None:
    """Run the command line."""

    def run() -> object:
        read_dotenv(Path(".env"))
        _warn_of_unknown_variables()
        return cli.main(prog_name="fake-server", standalone_mode=False)

    sys.exit(exit_code(run, "fake-server"))


def _warn_of_unknown_variables() -> None:
    """A misspelt variable would otherwise be a setting that silently is not set."""
    known = {
        str(option.envvar)
        for command in cli.commands.values()
        for option in command.params
        if option.envvar
    }
    for name in sorted(os.environ):
        if name.startswith(PREFIX) and name not in known:
            click.echo(
                f"Warning: {name} is not a known setting{did_you_mean(name, known)}", err=True
            )


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="fake-dify")
def cli() -> None:
    """A fake of a Dify host that generates images: same responses, same bytes, no GPU."""


for _command in (serve, record, request, sign, verify, scenarios, spec, app):
    cli.add_command(_command)

with_debug(cli)
