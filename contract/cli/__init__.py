"""The command ``contract``: judge a host, record it, compare two of them, list the checks.

Each setting is a flag, else ``CONTRACT_<NAME>`` from the environment. Exit codes: 0 where every check passed, 1 where
a check failed or two hosts differ, 2 where it could not be found out, 130 after Ctrl-C (with the report so far).
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import NoReturn

import click

from contract.cli.diff_command import diff
from contract.cli.drift_command import drift
from contract.cli.har_command import har
from contract.cli.list_command import list_
from contract.cli.record_command import record
from contract.cli.recordings_command import recordings
from contract.cli.run_command import run
from dify_wire.spec_error import SpecError

_INTERRUPTED = 130
_COULD_NOT_RUN = 2


def main() -> None:
    """Run the command line; it ends with an exit code, never with a traceback."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError):  # somebody's own stream
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    _end(exit_code())


def exit_code(arguments: Sequence[str] | None = None) -> int:
    """Carry out ``arguments`` (those of the process where none are given) and say how it went."""
    try:
        code = cli.main(arguments, prog_name="contract", standalone_mode=False)
    except click.ClickException as error:
        error.show()
    except SpecError as error:  # a file that somebody gave us
        click.echo(f"Error: {error}", err=True)
    except (click.Abort, KeyboardInterrupt):
        return _INTERRUPTED
    except SystemExit:  # click's way to say that whoever read our output has gone
        return _COULD_NOT_RUN
    except ModuleNotFoundError as error:
        click.echo(f"Error: {error}; contract needs its extra: pip install 'fake-dify[contract]'", err=True)
    except Exception as error:
        click.echo(f"Error: contract stumbled: {type(error).__name__}: {error}", err=True)
    else:
        return code if isinstance(code, int) else 0
    return _COULD_NOT_RUN


def _end(code: int) -> NoReturn:
    """Leave at once: a request that is still under way is not waited for."""
    with suppress(OSError):
        sys.stdout.flush()
    if threading.active_count() > 1:
        os._exit(code)
    sys.exit(code)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="fake-dify")
def cli() -> None:
    """Does a host keep the contract of the workflow API? And if not, which promise does it break?"""


for _command in (run, record, diff, drift, har, recordings, list_):
    cli.add_command(_command)
