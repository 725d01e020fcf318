"""The command ``fake-server``: serve, record, sign, verify, scenarios.

Each setting is a flag, else ``FAKE_SERVER_<NAME>`` from the environment, else the same from
``.env``, else a key of the TOML file that ``--config`` names, else its default. Exit codes: 0 for a
good end (Ctrl-C and SIGTERM of a server among them), 1 where ``verify`` refuses or a recording was
lost, 2 for anything that has to be put right first.
"""

from __future__ import annotations

import gc
import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import parse_qsl, urlsplit

import click

from dify_wire.command import CommandError, exit_code, with_debug
from dify_wire.spec_error import SpecError, file_errors, reason
from fake_server.settings import (
    AFTER_LAST,
    DEFAULT_API_KEY,
    DEFAULT_PORT,
    DEFAULT_SECRET_KEY,
    INSTANT,
    ON_MISS,
    Settings,
    SettingsError,
    checked_secret_key,
    parse_speed,
)

_PREFIX = "FAKE_SERVER_"
_FILE = click.Path(path_type=Path)
_NUMBERS: Mapping[str, tuple[type, ...]] = {"port": (int,), "seed": (int,), "speed": (int, float)}
"""The settings that may be numbers in TOML."""

_FILE_URL = re.compile(
    r"(?:https?://[^/]+)?/files/tools/([0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12})\.[^/]+"
)
_Command = Callable[..., Any]


def main() -> None:
    """Run the command line."""

    def run() -> object:
        _read_dotenv(Path(".env"))
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
        if name.startswith(_PREFIX) and name not in known:
            from dify_wire.strict import did_you_mean

            hint = did_you_mean(name, known)
            click.echo(f"Warning: {name} is not a known setting{hint}", err=True)


def _read_dotenv(path: Path) -> None:
    """Settings from ``.env`` where the environment does not have them."""
    try:
        if not path.is_file():
            return
    except OSError as error:
        _fail(f"{path}: cannot be looked for: {reason(error)}; start in a folder that can be read")
    import io

    from dotenv import dotenv_values

    from dify_wire.text_file import read_text

    try:
        values = dotenv_values(stream=io.StringIO(read_text(path, ".env")), interpolate=False)
    except SpecError as error:
        _fail(str(error))
    for name, value in values.items():
        if name.startswith(_PREFIX) and value is not None:
            if "\0" in value:
                _fail(f"{path}: {name}: the value has a NUL character in it; take it out")
            os.environ.setdefault(name, value)


def _option(*names: str, **attributes: Any) -> Callable[[_Command], _Command]:
    """An option that the environment can set too, as ``FAKE_SERVER_<NAME>``."""
    variable = _PREFIX + names[0].removeprefix("--").replace("-", "_").upper()
    return click.option(*names, envvar=variable, show_envvar=True, **attributes)


def _read_config(context: click.Context, _: click.Parameter, path: Path | None) -> Path | None:
    """Take the settings of a TOML file as defaults, refusing keys that are no setting."""
    if path is None:
        return None
    try:
        context.default_map = _config(path, context.command.params)
    except SpecError as error:
        raise click.BadParameter(str(error)) from None
    return path


def _config(path: Path, parameters: Iterable[click.Parameter]) -> dict[str, Any]:
    """The settings in the TOML file at ``path`` by the names of their ``parameters``. Raises
    ``SpecError``.
    """
    import tomllib

    from dify_wire.strict import did_you_mean
    from dify_wire.text_file import read_text

    try:
        said = tomllib.loads(read_text(path, "TOML"), parse_float=float)
    except RecursionError:
        raise SpecError(
            path, "the file", "cannot be read as TOML: it is nested too deep; flatten it"
        ) from None
    except ValueError as error:  # also of a number of too many digits, which tomllib hands on
        raise SpecError(path, "the file", f"cannot be read as TOML: {error}; correct it") from None
    options = {parameter.opts[0].removeprefix("--"): parameter for parameter in parameters}
    known = {flag: option for flag, option in options.items() if flag not in ("config", "debug")}
    defaults = {}
    for key, value in said.items():
        flag = key.replace("_", "-")
        if flag not in known:
            message = f"{key!r} is not a known setting{did_you_mean(flag, known)}; known: {', '.join(sorted(known))}"
            raise SpecError(path, "the file", message)
        with file_errors(path, "a file of settings"):  # a number of more digits than Python writes
            defaults[str(known[flag].name)] = _as_default(path, known[flag], key, value)
    return defaults


def _as_default(path: Path, option: click.Parameter, key: str, value: Any) -> Any:
    """A value of TOML as the option takes it; click by itself would bend some values into others.

    Raises ``SpecError``.
    """
    if option.name == "apps" and isinstance(value, dict):
        value = [f"{app_key}={what}" for app_key, what in value.items()]
    if option.name == "clock" and hasattr(value, "isoformat"):
        value = value.isoformat()  # TOML has moments of its own
    entries = value if option.multiple and isinstance(value, list) else [value]
    numbers = _NUMBERS.get(key, ())
    for entry in entries:
        if isinstance(entry, bool) or not isinstance(entry, (str, *numbers)):
            needed = (
                "a text"
                if not numbers
                else "a whole number"
                if float not in numbers
                else "a number or a text"
            )
            raise SpecError(path, key, f"{key} cannot be {entry}; {needed} is needed")
    return entries if option.multiple else value


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="fake-dify")
def cli() -> None:
    """A fake of a Dify workflow host that makes pictures: same answers, same bytes, no GPU."""


@cli.command()
@_option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@_option(
    "--port",
    type=int,
    default=DEFAULT_PORT,
    show_default=True,
    help="Port to listen on; 0 takes any free one.",
)
@_option(
    "--speed",
    default="10",
    show_default=True,
    help=f"1 is the host's own rhythm, 10 ten times as fast, {INSTANT!r} does not wait.",
)
@_option("--seed", type=int, help="Makes ids, durations and pictures reproducible.")
@_option(
    "--clock",
    metavar="ISO",
    help="The clock starts frozen at this moment, in UTC unless it has an offset.",
)
@_option(
    "--api-key",
    "api_keys",
    multiple=True,
    help=f"A key of the default app; repeatable.  [default: {DEFAULT_API_KEY}]",
)
@_option(
    "--app",
    "apps",
    multiple=True,
    metavar="KEY=KIND|FILE",
    help="Another key and what it opens: workflow, chat, unpublished, disabled, deleted, or an app file; repeatable.",
)
@_option(
    "--secret-key", default=DEFAULT_SECRET_KEY, help="Signs URLs, as SECRET_KEY does on the host."
)
@_option("--admin-token", help="Opens the admin API, /__admin/, from elsewhere than this machine.")
@_option(
    "--files-url", default="", help="Put before the URLs of pictures, which are relative otherwise."
)
@_option("--spec", type=_FILE, help="Another openapi.yaml.")
@_option(
    "--overlay",
    "overlays",
    type=_FILE,
    multiple=True,
    help="Applied after the one of the host version; repeatable.",
)
@_option("--workflow", type=_FILE, help="The app file of the default app.")
@_option("--host-version", default="0.6.4", show_default=True, help="The Dify version to be.")
@_option("--scenarios", type=_FILE, help="A YAML file of rules for what shall go wrong.")
@_option("--replay", type=_FILE, metavar="DIR", help="Answer from the recordings in this folder.")
@_option(
    "--on-miss",
    type=click.Choice(ON_MISS),
    help="What a request gets that was not recorded; forward and record ask --upstream.  [default: error]",
)
@_option(
    "--after-last",
    type=click.Choice(AFTER_LAST),
    help="What a request gets when all its recorded answers were given.  [default: repeat]",
)
@_option("--upstream", metavar="URL", help="The host that is asked for what was not recorded.")
@_option("--log-format", type=click.Choice(["human", "json"]), default="human", show_default=True)
@_option(
    "--ready-file",
    type=_FILE,
    help='Gets {"url", "api_key", "pid"} as JSON once the server listens.',
)
@_option(
    "--ssl-certfile", type=_FILE, help="Certificate; with --ssl-keyfile the server speaks TLS."
)
@_option("--ssl-keyfile", type=_FILE, help="Private key of the certificate.")
@click.option(
    "--config",
    type=_FILE,
    envvar=f"{_PREFIX}CONFIG",
    show_envvar=True,
    is_eager=True,
    expose_value=False,
    callback=_read_config,
    help="A TOML file with any of these settings.",
)
def serve(speed: str, api_keys: tuple[str, ...], apps: tuple[str, ...], **rest: Any) -> None:
    """Serve the fake until Ctrl-C or SIGTERM."""
    gc.disable()  # all that a start makes stays; looking through it again and again is a tenth of the start
    from fake_server.server.run import serve_forever

    try:
        settings = Settings(
            speed=parse_speed(speed),
            api_keys=api_keys or (DEFAULT_API_KEY,),
            apps=tuple(_key_and_app(app) for app in apps),
            **rest,
        )
        serve_forever(settings)
    except SettingsError as error:
        _fail_for(error)
    except SpecError as error:
        _fail(str(error))


def _key_and_app(text: str) -> tuple[str, str]:
    key, equals, what = text.partition("=")
    if not (key and equals and what):
        raise SettingsError("app", f"{text!r} is not KEY=KIND or KEY=FILE")
    return key, what


@cli.command()
@click.option("--upstream", required=True, metavar="URL", help="The host to record.")
@click.option(
    "--to",
    required=True,
    type=_FILE,
    metavar="DIR",
    help="Where the recordings go; made if missing.",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    type=int,
    default=6061,
    show_default=True,
    help="Port to listen on; 0 takes any free one.",
)
@click.option(
    "--api-key-label",
    "key_labels",
    multiple=True,
    metavar="KEY=LABEL",
    help="What a recording calls the app of a key; 'main' for the first other one; repeatable.",
)
@click.option(
    "--redact",
    "rules",
    multiple=True,
    metavar="RULE",
    help="What must not be kept besides keys, signatures and cookies: header:NAME, field:NAME, text:REGEX; repeatable.",
)
@click.option("--keep-user", is_flag=True, help="Keep users as they are, in place of a pseudonym.")
@click.option(
    "--timeout",
    "timeout_s",
    type=float,
    default=300.0,
    show_default=True,
    metavar="S",
    help="Seconds for the first byte of an answer; the rest may take any time.",
)
@click.option(
    "--fetch-pictures/--no-fetch-pictures",
    default=True,
    show_default=True,
    help="Fetch the picture behind each signed URL before it expires.",
)
@click.option(
    "--ready-file", type=_FILE, help='Gets {"url", "upstream", "pid"} as JSON once it listens.'
)
def record(key_labels: tuple[str, ...], **rest: Any) -> None:
    """Stand between a client and a host, pass everything on, and keep it as recordings, without its
    secrets.

    Ctrl-C or SIGTERM ends it; exit code 1 says that something could not be kept.
    """
    from fake_server.recorder.settings import RecorderSettings
    from fake_server.server.record import record_forever

    try:
        settings = RecorderSettings(
            key_labels=tuple(_key_and_label(text) for text in key_labels), **rest
        )
        click.get_current_context().exit(record_forever(settings))
    except SettingsError as error:
        _fail_for(error)


def _key_and_label(text: str) -> tuple[str, str]:
    key, equals, label = text.rpartition("=")
    if not (key and equals and label):
        raise SettingsError("api_key_label", "a key and its label are needed, as KEY=LABEL")
    return key, label


@cli.command()
@click.argument("path")
@_option("--secret-key", default=DEFAULT_SECRET_KEY, help="The SECRET_KEY to sign with.")
@click.option("--timestamp", type=int, help="Unix seconds to sign for.  [default: now]")
def sign(path: str, secret_key: str, timestamp: int | None) -> None:
    """Sign PATH, such as /files/tools/<uuid>.png, and print it with its query."""
    import secrets
    import time

    from fake_server.runs.signing import FileSigner

    file_id, shown = _file_id(path)
    signer = FileSigner(_checked(secret_key), 0)
    at = int(time.time()) if timestamp is None else timestamp
    click.echo(f"{shown}?{signer.query(file_id, at, secrets.token_hex(16))}")


@cli.command()
@click.argument("url")
@_option("--secret-key", default=DEFAULT_SECRET_KEY, help="The SECRET_KEY that signed it.")
@_option(
    "--host-version",
    default="0.6.4",
    show_default=True,
    help="The Dify version, which decides how long a URL lives.",
)
def verify(url: str, secret_key: str, host_version: str) -> None:
    """Say whether a host with that secret key serves URL now: exit 0 if it does, 1 with the reason
    if not.
    """
    import time

    from fake_server.runs.signing import FileSigner, SignatureRefusedError
    from fake_server.spec import load_host

    file_id, _ = _file_id(url)
    query = dict(reversed(parse_qsl(urlsplit(url).query, keep_blank_values=True)))
    missing = [name for name in ("timestamp", "nonce", "sign") if name not in query]
    if missing:
        _fail(f"the URL has no {' and no '.join(missing)}; give the whole URL, in quotes")
    try:
        lifetime_s = load_host(host_version).limits.url_lifetime_s
        signer = FileSigner(_checked(secret_key), lifetime_s)
        signer.verify(file_id, query["timestamp"], query["nonce"], query["sign"], time.time())
    except SpecError as error:
        _fail(str(error))
    except SignatureRefusedError as refused:
        click.echo(f"refused: {refused}")
        click.get_current_context().exit(1)
    click.echo("good")


@cli.command()
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="All of it as JSON, for scripts.")
@click.option(
    "--schema", is_flag=True, help="Print the JSON Schema of files for --scenarios, for editors."
)
def scenarios(name: str | None, as_json: bool, schema: bool) -> None:
    """List what can go wrong on demand, or tell all about the scenario NAME."""
    import json

    from fake_server.scenarios import ScenarioError, about
    from fake_server.scenarios.behaviour import catalogue, find

    if schema:
        click.echo(about.SCHEMA.read_text("utf-8"), nl=False)
        return
    try:
        chosen = None if name is None else find(name)
    except ScenarioError as error:
        _fail(str(error))
    if as_json:
        said = (
            [about.as_json(one) for one in catalogue().values()]
            if chosen is None
            else about.as_json(chosen)
        )
        click.echo(json.dumps(said, indent=2, ensure_ascii=False))
    else:
        click.echo(about.listing() if chosen is None else about.page(chosen))


def _file_id(url: str) -> tuple[str, str]:
    """The id of the file that ``url`` names, and the URL without its query."""
    shown = url.partition("#")[0].partition("?")[0]
    match = _FILE_URL.fullmatch(shown)
    if match is None:
        _fail(f"{url!r} names no file; it has to look like /files/tools/<uuid>.png")
    return match[1].lower(), shown


def _checked(secret_key: str) -> str:
    try:
        return checked_secret_key(secret_key)
    except SettingsError as error:
        _fail_for(error)


def _fail_for(error: SettingsError) -> NoReturn:
    _fail(f"--{error.setting.replace('_', '-')}: {str(error).partition(': ')[2]}")


def _fail(message: str) -> NoReturn:
    raise CommandError(message)


with_debug(cli)
