"""Where the settings of a command come from: flags, the environment, ``.env``, a TOML file."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click

from dify_wire.command import CommandError
from dify_wire.option_values import completed_by, host_versions
from dify_wire.strict import did_you_mean, unknown
from dify_wire.text_file import SpecError, file_errors
from fake_server.settings import Settings, SettingsError

PREFIX = "FAKE_SERVER_"
FILE = click.Path(path_type=Path)
_SETTINGS = {one.name: one for one in dataclasses.fields(Settings)}
_VALUES = {"host_version": host_versions, "speed": lambda: ("1", "10", "instant")}
Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def read_dotenv(path: Path) -> None:
    """Settings from ``.env`` where the environment does not have them."""
    if not os.path.isfile(path):  # noqa: PTH113  # false where the folder cannot be read
        return
    import io

    from dotenv import dotenv_values

    from dify_wire.text_file import read_text

    values = dotenv_values(stream=io.StringIO(read_text(path, ".env")), interpolate=False)
    for name, value in values.items():
        if name.startswith(PREFIX) and value is not None:
            if "\0" in value:
                raise CommandError(f"{path}: {name}: remove the NUL character from the value")
            os.environ.setdefault(name, value)


def read_config(context: click.Context, _: click.Parameter, path: Path | None) -> None:
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


def _option(one: dataclasses.Field[Any], prefix: str = "", text: str = "") -> Decorator:
    """The option of a field of settings; with a ``prefix`` the environment can set it too."""
    attributes: dict[str, Any] = {"show_default": True, **one.metadata}
    flag = attributes.pop("flag", "--" + one.name.replace("_", "-"))
    if text:
        attributes["help"] = text
    if one.name in _VALUES:
        attributes["shell_complete"] = completed_by(_VALUES[one.name])
    if "choices" in attributes:
        attributes["type"] = click.Choice(attributes.pop("choices"))
    for name, kind in {"Path": FILE, "int": int, "float": float}.items():
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


def setting(name: str, text: str) -> Decorator:
    return _option(_SETTINGS[name], PREFIX, text)


def all_options(settings: type[Any], prefix: str = "") -> Decorator:
    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for one in reversed(dataclasses.fields(settings)):
            command = _option(one, prefix)(command)
        return command

    return decorate


def serve_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of ``serve``: each setting, and a file with any of them."""
    config = click.option(
        "--config",
        type=FILE,
        envvar=f"{PREFIX}CONFIG",
        show_envvar=True,
        is_eager=True,
        expose_value=False,
        callback=read_config,
        help="A TOML file with any of these settings.",
    )
    return all_options(Settings, PREFIX)(config(command))


def unknown_variables(group: click.Group) -> Iterator[str]:
    """What is wrong with the names of variables that no command of ``group`` reads.

    A misspelt one would otherwise be a setting that silently is not set.
    """
    options = [option for command in group.commands.values() for option in command.params]
    known = {str(option.envvar) for option in options if option.envvar}
    for name in sorted(os.environ):
        if name.startswith(PREFIX) and name not in known:
            yield f"{name} is not a known setting{did_you_mean(name, known)}"


@contextlib.contextmanager
def named_by_flag() -> Iterator[None]:
    try:
        yield
    except SettingsError as error:
        raise CommandError(f"--{error.setting.replace('_', '-')}: {error.message}") from None


def recorded(host_version: str) -> str:
    """The recorded version that ``host_version`` means; says so where it is a prefix."""
    from dify_wire.profile import recorded_version

    version = recorded_version(host_version)
    if version != host_version:
        click.echo(f"Host version {version}, the newest recorded {host_version}.", err=True)
    return version
