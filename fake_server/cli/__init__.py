"""The command ``fake-server``: serve, request, examples, record, scenarios, app,
spec, sign, verify, doctor.

Each setting is a flag, else ``FAKE_SERVER_<NAME>`` from the environment, else the same from
``.env``, else a key of the TOML file that ``--config`` names, else its default. Exit codes: 0 for a
good end (Ctrl-C and SIGTERM of a server among them), 1 where ``verify`` refuses or a recording was
lost, 2 for anything that has to be put right first.
"""

from __future__ import annotations

import sys
from pathlib import Path

import click

from dify_wire.command import CommandGroup, exit_code, take_any_output, with_common_options
from fake_server.cli.descriptions import app, scenarios, spec
from fake_server.cli.doctor import doctor
from fake_server.cli.examples import examples
from fake_server.cli.options import read_dotenv, unknown_variables
from fake_server.cli.request import request
from fake_server.cli.servers import record, serve
from fake_server.cli.signatures import sign, verify


def main() -> None:
    """Run the command line."""

    def run() -> object:
        read_dotenv(Path(".env"))
        for problem in unknown_variables(cli):
            click.echo(f"Warning: {problem}", err=True)
        return cli.main(prog_name="fake-server", standalone_mode=False)

    take_any_output()
    sys.exit(exit_code(run, "fake-server"))


@click.group(cls=CommandGroup, context_settings={"max_content_width": 100})
@click.version_option(package_name="fake-dify")
def cli() -> None:
    """A fake of a Dify host that generates images: same responses, same bytes, no GPU."""


for _command in (serve, request, examples, record, scenarios, app, spec, sign, verify, doctor):
    cli.add_command(_command)

with_common_options(cli)
