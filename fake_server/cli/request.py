"""The command ``request``: one run on the fake or a real host, from the terminal."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dify_wire.command import CommandError
from dify_wire.option_values import base_url, is_header_value, key, seconds
from dify_wire.strict import unknown
from dify_wire.text_file import readable, reason
from fake_server.cli.options import FILE
from fake_server.settings import DEFAULT_API_KEY, Settings

if TYPE_CHECKING:
    from rich.console import Console

    from fake_server.client.runs import Client, Input

_FAKE = f"http://{Settings().host}:{Settings().port}"
STDOUT = Path("-")
_PROMPT = "prompt"
_MODEL = "model_name"
_TEXTS = ("paragraph", "text-input")

BASE_URL = click.option(
    "--base-url",
    envvar="CONTRACT_BASE_URL",
    show_envvar=True,
    default=_FAKE,
    show_default=True,
    metavar="URL",
    callback=base_url,
    help="The host.",
)
API_KEY = click.option(
    "--api-key",
    envvar="CONTRACT_API_KEY",
    show_envvar=True,
    metavar="KEY",
    callback=key,
    help="The key of the app.  [default on this machine: the fake's]",
)


@click.command(
    epilog="""\b
Examples:
  fake-server request "一个胸有成竹的男人" -o man.png
  fake-server request "a cat" --base-url https://dify.example --api-key app-…
  fake-server request --input text="a dog" --input photo=@dog.jpg
"""
)
@click.argument("prompt", required=False)
@click.option(
    "-o",
    "--output",
    type=FILE,
    help="Where the image goes; further ones are numbered. '-' is stdout.  "
    "[default: the name that the host gives it]",
)
@click.option("-f", "--force", is_flag=True, help="Overwrite the file of --output.")
@click.option("--model", help=f"The input {_MODEL}; by default the first choice.")
@click.option(
    "--input",
    "inputs",
    multiple=True,
    metavar="NAME=VALUE",
    help="Another input of the app; NAME=@FILE uploads a file; repeatable.",
)
@BASE_URL
@API_KEY
@click.option("--user", default="fake-server", show_default=True, help="The end user of the run.")
@click.option("--blocking", is_flag=True, help="Wait for one response instead of a stream.")
@click.option(
    "--timeout",
    type=float,
    default=120.0,
    callback=seconds,
    show_default=True,
    metavar="S",
    help="Seconds that the host may be silent.",
)
@click.option("--show/--no-show", default=True, help="Show images where the terminal can.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON, for scripts.")
def request(
    *,
    prompt: str | None,
    output: Path | None,
    force: bool,
    model: str | None,
    inputs: tuple[str, ...],
    base_url: str,
    api_key: str | None,
    user: str,
    blocking: bool,
    timeout: float,
    show: bool,
    as_json: bool,
) -> None:
    """Run the app of a host once, show its nodes, and save its images.

    PROMPT is the input "prompt", or the first text of an app that has no such input. Ctrl-C stops
    the run on the host. Exit code 1: the run failed, 2: it could not be done.
    """
    from rich.console import Console

    from fake_server.client.runs import Client

    api_key = api_key_for(base_url, api_key)
    check_text(*[text for text in (prompt, model, user, *inputs) if text is not None])
    _check_output(output, force, as_json)
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    with Client(base_url, api_key, user, timeout) as client:
        given = _inputs(client, prompt, model, inputs)
        run = _blocking if blocking else _streaming
        result = run(client, given, console)
        saved: list[Path] = []
        try:
            show = show and sys.stderr is not None and sys.stderr.isatty()
            for path in _save(client, result, output, force, show):
                saved.append(path)  # noqa: PERF402  # those before an error count
        finally:  # the run has cost time and money: show its result whatever became of its files
            if as_json:
                names = [str(path) for path in saved]
                click.echo(json.dumps({**result, "saved": names}, ensure_ascii=False, indent=2))
            else:
                _report(result, saved, console, texts_to_stderr=output == STDOUT)
    if result.get("status") not in ("succeeded", "partial-succeeded"):
        click.get_current_context().exit(1)
    if output not in (None, STDOUT) and not saved:
        raise CommandError(f"the run has made no file, so there is no {output}; look at --json")


def api_key_for(base_url: str, api_key: str | None) -> str:
    """The key to use: on this machine without one it is the fake's. Raises ``CommandError``."""
    from fake_server.client.runs import is_local

    if api_key:
        return api_key
    if not is_local(base_url):
        raise CommandError("another host needs its key: give --api-key or CONTRACT_API_KEY")
    keys = os.environ.get("FAKE_SERVER_API_KEY", "").split()
    if keys and not is_header_value(keys[0]):
        raise CommandError("FAKE_SERVER_API_KEY: a header cannot carry it; use printable ASCII")
    return keys[0] if keys else DEFAULT_API_KEY


def check_text(*texts: str) -> None:
    """Raise ``CommandError`` for what the shell gave in another encoding."""
    for text in texts:
        try:
            text.encode()
        except UnicodeEncodeError:
            shown = text.encode("utf-8", "backslashreplace").decode()
            raise CommandError(f"{shown} is not UTF-8 text; use a terminal with UTF-8") from None


def _check_output(output: Path | None, force: bool, as_json: bool) -> None:
    """Before the run, which costs time and money."""
    if output is None:
        return
    if output == STDOUT:
        if as_json:
            raise CommandError("--json and --output - both write to stdout; choose one")
        if sys.stdout is None or sys.stdout.isatty():
            raise CommandError("--output -: a terminal takes no file; redirect stdout, or name one")
        return
    try:
        there = os.path.lexists(output)
        if there and output.is_dir():
            raise CommandError(f"--output: {output} is a folder; name a file in it")
        if there and not force:
            raise CommandError(f"--output: {output} exists; --force overwrites it")
        if not output.parent.is_dir():
            raise CommandError(f"--output: there is no folder {output.parent}; make it first")
        if output.is_file() or not output.exists():  # opening a pipe would end its reader
            output.open("ab").close()
        if not there:
            output.unlink()
    except OSError as error:
        raise CommandError(f"--output: {output} cannot be written: {reason(error)}") from None


def _inputs(
    client: Client, prompt: str | None, model: str | None, inputs: tuple[str, ...]
) -> dict[str, Any]:
    """The inputs of the run, as the app takes them. Raises ``CommandError``."""
    from fake_server.client.runs import input_value

    fields = client.inputs()
    given = named_values(inputs)
    if prompt is not None:
        given[_prompt_input(fields)] = prompt
    if model is not None:
        given[_MODEL] = model
    check_names(given, fields)
    missing = [one.name for one in fields.values() if one.required and one.name not in given]
    for name in missing:
        if not fields[name].options:
            hint = "give it as PROMPT" if name == _PROMPT else f"give it with --input {name}=…"
            raise CommandError(f"the app needs the input {name}; {hint}")
        given[name] = fields[name].options[0]
    if _MODEL in fields and fields[_MODEL].options:
        given.setdefault(_MODEL, fields[_MODEL].options[0])
    return {name: input_value(fields[name], text, client) for name, text in given.items()}


def named_values(inputs: Iterable[str]) -> dict[str, str]:
    """The values of --input by their names. Raises ``CommandError``."""
    pairs = [one.partition("=") for one in inputs]
    for name, equals, value in pairs:
        if not (name and equals):
            raise CommandError(f"--input: {name + value!r} is not NAME=VALUE")
    return {name: value for name, _, value in pairs}


def check_names(given: Iterable[str], fields: Mapping[str, Input]) -> None:
    """Raise ``CommandError`` for an input that the app does not have."""
    for name in given:
        if name not in fields:
            raise CommandError(f"the app has no such input: {unknown('input', name, list(fields))}")


def _prompt_input(fields: dict[str, Input]) -> str:
    if _PROMPT in fields:
        return _PROMPT
    texts = [one.name for one in fields.values() if one.kind in _TEXTS]
    if not texts:
        names = ", ".join(fields) or "none"
        raise CommandError(f"the app takes no text, so leave out PROMPT; its inputs: {names}")
    return texts[0]


def _blocking(client: Client, inputs: dict[str, Any], console: Console) -> dict[str, Any]:
    try:
        with console.status("waiting for the run to end"):
            response = client.run_blocking(inputs)
    except KeyboardInterrupt:
        console.print("The run goes on: only one that streams can be stopped.")
        raise
    return {"task_id": response.get("task_id"), **_data(response)}


def _streaming(client: Client, inputs: dict[str, Any], console: Console) -> dict[str, Any]:
    """The data of the last event. Ctrl-C stops the run."""
    from fake_server.client.errors import HostError
    from fake_server.client.progress import Progress, shown

    progress = Progress()
    result: dict[str, Any] = {}
    try:
        with shown(progress, console) as finished:
            for event in client.run_streaming(inputs):
                finished(progress.take(event))
                match event.get("event"):
                    case "workflow_finished":
                        result = _data(event)
                    case "workflow_paused":
                        data = event.get("data")
                        result = data if isinstance(data, dict) else {}
                        result["status"] = "paused"
                    case "error":
                        text = f"{event.get('code')}: {event.get('message')}"
                        raise HostError(f"the host ended the stream with an error: {text}")
    except KeyboardInterrupt:
        if not progress.task_id:
            text = "The run may go on: the host has not named it yet."
        elif client.stop(progress.task_id):
            text = "The run is stopped."
        else:
            text = "The run goes on: the host did not stop it."
        console.print(text)
        raise
    return {"task_id": progress.task_id, **result}


def _data(event: dict[str, Any]) -> dict[str, Any]:
    """How a run ended. Raises ``HostError`` where ``event`` does not say it."""
    from fake_server.client.errors import HostError

    data = event.get("data")
    if not isinstance(data, dict) or not isinstance(data.get("status"), str):
        raise HostError("the host does not say how the run ended; is it a workflow app of Dify?")
    return data


def _save(
    client: Client, result: dict[str, Any], output: Path | None, force: bool, show: bool
) -> Iterator[Path]:
    """Saves each file of the run and gives its path; with ``show`` images are on stderr too."""
    from fake_server.client.saving import check_image, inline_image, output_files, paths_for, write

    files = list(output_files(result.get("outputs")))
    for file, path in zip(files, paths_for(files, output, force), strict=True):
        content = client.download(file["url"]).content
        if file.get("type") == "image":
            check_image(content)
        if path == STDOUT:
            sys.stdout.buffer.write(content)
            continue
        write(path, content)
        yield path
        if show and file.get("type") == "image":
            click.echo(inline_image(content, os.environ), err=True, nl=False)


def _report(
    result: dict[str, Any], saved: list[Path], console: Console, *, texts_to_stderr: bool
) -> None:
    """Paths and texts to stdout, the rest to stderr."""
    from fake_server.client.progress import number

    for path in saved:
        click.echo(path)
    outputs = result.get("outputs")
    for name, value in (outputs if isinstance(outputs, dict) else {}).items():
        if isinstance(value, str) and value:
            click.echo(f"{readable(name)}: {readable(value)}", err=texts_to_stderr)
    tokens = int(number(result.get("total_tokens")))
    facts = f"{number(result.get('elapsed_time')):.1f} s, {tokens:,} tokens"
    match result.get("status"):
        case "succeeded" | "partial-succeeded":
            console.print(f"[green]succeeded[/] in {facts}")
        case "paused":
            console.print("[yellow]paused[/]: the run waits for a person")
        case status:
            error = str(result.get("error") or "the host gives no reason")
            text = readable(f"{status} after {facts}: {error}")
            console.print(text, style="red", markup=False)
