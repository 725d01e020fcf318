"""``docs/commands.md``: every command with its help, as it is printed on 80 columns."""

from __future__ import annotations

from collections.abc import Iterator

import click

from contract.cli import cli as contract_cli
from fake_server.cli import cli as fake_server_cli
from tests.pages.markdown import generated

_INTRODUCTION = """# Commands

The help of every command. `fake-server` serves, records and describes the fake; `contract`
checks, records and compares hosts. `make docs` makes this page from what `--help` prints.

## Exit codes

| code | meaning |
|---|---|
| 0 | Good: it was done, and what was asked about is so. A server ended by Ctrl-C or SIGTERM. |
| 1 | What was asked about is not so: a check failed, two hosts differ, a signature is wrong. |
| 2 | It could not be done: an option, a file, the installation, a port in use, a host that cannot be reached. One line on stderr says what to do. |
| 130 | Ended by Ctrl-C. |
"""


def commands_page() -> str:
    """The whole page."""
    sections = [*_sections("fake-server", fake_server_cli), *_sections("contract", contract_cli)]
    return generated("\n".join([_INTRODUCTION, *sections]))


def _sections(name: str, command: click.Command, level: int = 2) -> Iterator[str]:
    """The help of ``command`` and of those below it."""
    with click.Context(command, info_name=name, terminal_width=80, max_content_width=80) as context:
        yield f"{'#' * level} {name}\n\n```text\n{command.get_help(context)}\n```\n"
    if isinstance(command, click.Group):
        for below, one in command.commands.items():
            if not one.hidden:
                yield from _sections(f"{name} {below}", one, 3)
