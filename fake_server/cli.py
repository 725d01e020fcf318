"""The command ``fake-server``: serve, record, sign, verify, scenarios, spec.

Each setting is a flag, else ``FAKE_SERVER_<NAME>`` from the environment, else the same from
``.env``, else a key of the TOML file that ``--config`` names, else its default. Exit codes: 0 for a
good end (Ctrl-C and SIGTERM of a server among them), 1 where ``verify`` refuses or a recording was
lost, 2 for anything that has to be put right first.
"""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import click

from dify_wire.command import CommandError, exit_code, with_debug
from dify_wire.strict import did_you_mean, unknown
from dify_wire.text_file import SpecError, file_errors
from fake_server.recorder.settings import RecorderSettings
from fake_server.settings import Settings, SettingsError, check_secret_key, read_settings

_PREFIX = "FAKE_SERVER_"
_FILE = click.Path(path_type=Path)
_SETTINGS = {one.name: one for one in dataclasses.fields(Settings)}
_FILE_URL = re.compile(
    r"(?:https?://[^/]+)?/files/tools/([0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12})\.[^/]+"
)
_Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def main() -> None:
    """Run the command line."""

    def run() -> object:
        _read_dotenv(Path(".env"))
        _warn_of_unknown_variables()
        return cli.main(prog_name="fake-server", standalone_mode=False)

    sys.exit(exit_code(run, "fake-server"))


# Where settings come from
# ------------------------------------------------------------------------------------------


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
            click.echo(
                f"Warning: {name} is not a known setting{did_you_mean(name, known)}", err=True
            )


def _read_dotenv(path: Path) -> None:
    """Settings from ``.env`` where the environment does not have them."""
    if not os.path.isfile(path):  # noqa: PTH113  # false where the folder cannot be read
        return
    import io

    from dotenv import dotenv_values

    from dify_wire.text_file import read_text

    values = dotenv_values(stream=io.StringIO(read_text(path, ".env")), interpolate=False)
    for name, value in values.items():
        if name.startswith(_PREFIX) and value is not None:
            if "\0" in value:
                raise CommandError(f"{path}: {name}: remove the NUL character from the value")
            os.environ.setdefault(name, value)


def _read_config(context: click.Context, _: click.Parameter, path: Path | None) -> None:
    """Take the settings of a TOML file as defaults, refusing keys that are not a setting."""
    if path is None:
        return
    import tomllib

    from dify_wire.text_file import read_text

    settings = (one for one in context.command.params if one.name in _SETTINGS)
    options = {one.opts[0].removeprefix("--"): one for one in settings}
    defaults = {}
    try:
        text = read_text(path, "TOML")
        with file_errors(path, "a file of settings"):  # one nested too deep, a number too long
            try:
                table = tomllib.loads(text, parse_float=float)
            except ValueError as error:
                message = f"cannot be read as TOML: {error}; correct it"
                raise SpecError(path, "the file", message) from None
            for key, value in table.items():
                option = options.get(key.replace("_", "-"))
                if option is None:
                    raise SpecError(path, "the file", unknown("setting", key, sorted(options)))
                defaults[str(option.name)] = _toml_default(path, option, key, value)
    except SpecError as error:
        raise click.BadParameter(str(error)) from None
    context.default_map = defaults


def _toml_default(path: Path, option: click.Parameter, key: str, value: Any) -> Any:
    """A value of TOML as the option takes it; click by itself would bend some values into others.

    Raises ``SpecError``.
    """
    if option.name == "apps" and isinstance(value, dict):
        value = [f"{app_key}={app}" for app_key, app in value.items()]
    if option.name == "clock" and hasattr(value, "isoformat"):
        value = value.isoformat()
    entries = value if option.multiple and isinstance(value, list) else [value]
    types: tuple[type, ...] = {"port": (int,), "seed": (int,), "speed": (int, float)}.get(key, ())
    for entry in entries:
        if isinstance(entry, bool) or not isinstance(entry, (str, *types)):
            needed = {0: "a string", 1: "a whole number", 2: "a number or a string"}[len(types)]
            raise SpecError(path, key, f"{key} cannot be {entry}; {needed} is needed")
    return entries if option.multiple else value


class _Option(click.Option):
    def get_help_extra(self, ctx: click.Context) -> Any:
        """click puts a default that is given as a string in brackets."""
        extra = super().get_help_extra(ctx)
        if isinstance(self.show_default, str):
            extra["default"] = self.show_default
        return extra


def _option(one: dataclasses.Field[Any], prefix: str = "", text: str = "") -> _Decorator:
    """The option of a field of settings; with a ``prefix`` the environment can set it too."""
    attributes: dict[str, Any] = {"show_default": True, **one.metadata}
    flag = attributes.pop("flag", "--" + one.name.replace("_", "-"))
    if text:
        attributes["help"] = text
    if "choices" in attributes:
        attributes["type"] = click.Choice(attributes.pop("choices"))
    for name, kind in {"Path": _FILE, "int": int, "float": float}.items():
        if name in str(one.type):
            attributes.setdefault("type", kind)
    if prefix:
        variable = flag.removeprefix("--").replace("-", "_").upper()
        attributes |= {"envvar": prefix + variable, "show_envvar": True}
    if one.default is dataclasses.MISSING:
        attributes["required"] = True
    else:
        as_text = isinstance(one.default, float) and attributes["type"] is str
        attributes["default"] = f"{one.default:g}" if as_text else one.default
    return click.option(
        flag, one.name, cls=_Option, multiple=isinstance(one.default, tuple), **attributes
    )


def _setting(name: str, text: str) -> _Decorator:
    return _option(_SETTINGS[name], _PREFIX, text)


def _all_options(settings: type[Any], prefix: str = "") -> _Decorator:
    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for one in reversed(dataclasses.fields(settings)):
            command = _option(one, prefix)(command)
        return command

    return decorate


@contextlib.contextmanager
def _named_by_flag() -> Iterator[None]:
    try:
        yield
    except SettingsError as error:
        raise CommandError(f"--{error.setting.replace('_', '-')}: {error.message}") from None


# Commands
# ------------------------------------------------------------------------------------------


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="fake-dify")
def cli() -> None:
    """A fake of a Dify host that generates images: same responses, same bytes, no GPU."""


@cli.command()
@_all_options(Settings, _PREFIX)
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
@_named_by_flag()
def serve(**values: Any) -> None:
    """Serve the fake until Ctrl-C or SIGTERM."""
    gc.disable()  # what a start makes stays; collecting it again and again is a tenth of the start
    from fake_server.server.run import serve_forever

    serve_forever(read_settings(values))


@cli.command()
@_all_options(RecorderSettings)
@click.option("--fetch-pictures/--no-fetch-pictures", default=None, hidden=True)
@_named_by_flag()
def record(key_labels: tuple[str, ...], fetch_pictures: bool | None, **values: Any) -> None:
    """Proxy a client's requests to a host and keep them as recordings, without their secrets.

    Ctrl-C or SIGTERM ends it; exit code 1 means that something could not be kept.
    """
    from fake_server.server.record import record_forever

    if fetch_pictures is not None:  # an earlier spelling
        values["fetch_images"] = fetch_pictures
    settings = RecorderSettings(key_labels=tuple(map(_key_and_label, key_labels)), **values)
    click.get_current_context().exit(record_forever(settings))


def _key_and_label(text: str) -> tuple[str, str]:
    key, equals, label = text.rpartition("=")
    if not (key and equals and label):
        raise SettingsError("api_key_label", "a key and its label are needed, as KEY=LABEL")
    return key, label


@cli.command()
@click.argument("path")
@_setting("secret_key", "The SECRET_KEY to sign with.")
@click.option("--timestamp", type=int, help="Unix seconds to sign for.  [default: now]")
@_named_by_flag()
def sign(path: str, secret_key: str, timestamp: int | None) -> None:
    """Sign PATH, such as /files/tools/<uuid>.png, and print it with its query."""
    import secrets
    import time

    from fake_server.runs.signing import FileSigner

    file_id, unsigned = _file_id(path)
    check_secret_key(secret_key)
    at = int(time.time()) if timestamp is None else timestamp
    query = FileSigner(secret_key, 0).query(file_id, at, secrets.token_hex(16))
    click.echo(f"{unsigned}?{query}")


@cli.command()
@click.argument("url")
@_setting("secret_key", "The SECRET_KEY that signed it.")
@_setting("host_version", "The Dify version, which decides how long a URL lives.")
@_named_by_flag()
def verify(url: str, secret_key: str, host_version: str) -> None:
    """Check whether a host with that secret key serves URL now.

    Exit code 0 means that it does, 1 that it does not, with the reason.
    """
    import time

    from fake_server.runs.signing import FileSigner, SignatureError
    from fake_server.spec import load_host

    file_id, _ = _file_id(url)
    query = dict(reversed(parse_qsl(urlsplit(url).query, keep_blank_values=True)))
    missing = [name for name in ("timestamp", "nonce", "sign") if name not in query]
    if missing:
        raise CommandError(
            f"the URL has no {' and no '.join(missing)}; give the whole URL, in quotes"
        )
    check_secret_key(secret_key)
    signer = FileSigner(secret_key, load_host(_recorded(host_version)).limits.url_lifetime_s)
    try:
        signer.verify(file_id, query["timestamp"], query["nonce"], query["sign"], time.time())
    except SignatureError as refused:
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


@cli.command()
@_setting("host_version", "The Dify version whose overlay applies.")
@_setting("spec", "Another openapi.yaml.")
@_setting("overlays", "Applied after the overlay of the host version; repeatable.")
@click.option(
    "--openapi",
    type=click.Choice(["3.2", "3.1"]),
    default="3.2",
    show_default=True,
    help="3.1 is for tools that do not know itemSchema, the events of a stream.",
)
@click.option("--json", "as_json", is_flag=True, help="As JSON instead of YAML.")
def spec(
    host_version: str, spec: Path | None, overlays: tuple[Path, ...], openapi: str, as_json: bool
) -> None:
    """Print the OpenAPI document of a host version: the vendor's document with its overlays."""
    import json

    from dify_wire.profile import overlay_paths
    from dify_wire.spec import load, to_openapi_31
    from dify_wire.text_file import bundled
    from dify_wire.yaml_file import dump_yaml

    path = spec or bundled("openapi.yaml")
    document = load(path, [*overlay_paths(_recorded(host_version)), *overlays])
    if openapi == "3.1":
        document = to_openapi_31(document)
    if as_json:
        click.echo(json.dumps(document, indent=2, ensure_ascii=False))
    else:
        click.echo(dump_yaml(document), nl=False)


def _recorded(host_version: str) -> str:
    """The recorded version that ``host_version`` means; says so where it is a prefix."""
    from dify_wire.profile import recorded_version

    version = recorded_version(host_version)
    if version != host_version:
        click.echo(f"Host version {version}, the newest recorded {host_version}.", err=True)
    return version


@cli.group()
def app() -> None:
    """Look at app files, such as exports of Dify."""


@app.command()
@click.argument("file")
@click.option(
    "--host-version", help="The Dify version to check for; by default one that fits the export."
)
@click.option(
    "--default-app", is_flag=True, help="FILE is for --workflow: the spec has the inputs."
)
@click.option("--json", "as_json", is_flag=True, help="As JSON, for scripts.")
@_named_by_flag()
def check(file: str, host_version: str | None, default_app: bool, as_json: bool) -> None:
    """Check FILE (export.yml or export.yml+fake.yml): inputs, what each node will do, outputs,
    warnings, and the Dify versions that it fits.

    Exit code 2 means that it cannot be used, with every reason.
    """
    from fake_server.apps import app_files
    from fake_server.workflow.report import checked

    version = _recorded(host_version) if host_version else None
    click.echo(checked(*app_files(file), version, default_app=default_app, as_json=as_json))


def _file_id(url: str) -> tuple[str, str]:
    """The id of the file that ``url`` names, and the URL without its query."""
    path = url.partition("#")[0].partition("?")[0]
    match = _FILE_URL.fullmatch(path)
    if match is None:
        raise CommandError(
            f"{url!r} is not the URL of a file; it has to look like /files/tools/<uuid>.png"
        )
    return match[1].lower(), path


with_debug(cli)
