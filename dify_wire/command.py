"""How the commands end: with an exit code and a line for each error, and with a traceback only for
``--debug``.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sys
from collections.abc import Callable, Sequence

import click

from dify_wire.text_file import SpecError, readable, reason

FAILED = 2
"""Something has to be put right first: an option, a file, the installation, or a mistake of
ours.
"""

INTERRUPTED = 130
"""Ended by Ctrl-C."""

_LONGEST_LINE = 500
_DEBUG = "--debug"


class CommandError(click.ClickException):
    """A command cannot go on; the message says what to do about it."""

    exit_code = FAILED


class CommandGroup(click.Group):
    """A group whose help has the whole first sentence of each command, on more lines if need be."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands; click by itself cuts each sentence to one line."""
        commands = [self.get_command(ctx, name) for name in self.list_commands(ctx)]
        rows = [
            (str(one.name), one.get_short_help_str(limit=1000))
            for one in commands
            if one is not None and not one.hidden
        ]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


def with_common_options(command: click.Command) -> None:
    """Give ``command`` and every command below it ``-h`` and ``--debug``."""
    command.context_settings["help_option_names"] = ["-h", "--help"]
    text = "Show the traceback of an unexpected error."
    command.params.append(click.Option([_DEBUG], is_flag=True, expose_value=False, help=text))
    if isinstance(command, click.Group):
        for below in command.commands.values():
            with_common_options(below)


def take_any_output() -> None:
    """Let stdout and stderr take every character: one that their encoding lacks is escaped."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError):  # somebody's own stream
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]


def exit_code(run: Callable[[], object], name: str, arguments: Sequence[str] | None = None) -> int:
    """Call ``run`` and say with which code the process of the command ``name`` ends.

    The code is what ``run`` returns, where that is a whole number. Errors are written to stderr in
    one line; with ``--debug`` among ``arguments`` (those of the process by default) an unforeseen
    one is raised.
    """
    try:
        code = run()
        if sys.stdout is not None:  # None: it was closed before the start
            sys.stdout.flush()  # here, where a full disk can still be reported
    except click.ClickException as error:
        if isinstance(error, click.NoSuchOption):
            _forget_hidden(error)
        text = io.StringIO()
        error.show(text)
        for line in text.getvalue().splitlines():
            click.echo(readable(line), err=True)
    except SpecError as error:
        for one in error.all:
            _write(f"Error: {one}")
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except SystemExit as end:  # click's way to end a completion, or where our reader has gone
        return 0 if end.code == 0 else FAILED
    except Exception as error:
        if _DEBUG in (sys.argv[1:] if arguments is None else arguments):
            raise
        _unforeseen(error, name)
    else:
        return code if isinstance(code, int) else 0
    return FAILED


def _forget_hidden(error: click.NoSuchOption) -> None:
    """Leave hidden options, which are earlier spellings, out of the suggestions."""
    params = error.ctx.command.params if error.ctx else ()
    options = (one for one in params if isinstance(one, click.Option) and one.hidden)
    hidden = {name for one in options for name in (*one.opts, *one.secondary_opts)}
    if error.possibilities:
        error.possibilities[:] = [name for name in error.possibilities if name not in hidden]


def _unforeseen(error: Exception, name: str) -> None:
    if isinstance(error, OSError) and error.errno == errno.EPIPE:
        _discard_output()
    elif isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
        _write(f"Error: {name} cannot write: {reason(error)}; make room and run it again")
        _discard_output()
    else:
        what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        hint = (
            f"this is a mistake in {name}: please report it with the traceback that {_DEBUG} shows"
        )
        _write(f"Error: {name} failed: {what}; {hint}")


def _write(message: str) -> None:
    line = " ".join(message.split())
    click.echo(line if len(line) <= _LONGEST_LINE else f"{line[:_LONGEST_LINE]}…", err=True)


def _discard_output() -> None:
    """Let the end of the process write what is left of stdout to nowhere: it would fail once
    more.
    """
    with contextlib.suppress(OSError, ValueError):  # somebody's own stream
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
