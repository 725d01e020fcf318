# ruff: noqa: RUF009
"""The deployment: every choice of the person who runs the fake, checked once.

Each field of ``Settings`` is a flag of ``fake-server serve`` too; its default and its help stand
here.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import date
from pathlib import Path
from typing import Any

from dify_wire.app_kind import AppKind

DEFAULT_API_KEY = "app-FakeHostKey0123456789abc"
"""The key that works when none is given; of the host's form, and no secret of anybody's."""

DEFAULT_SECRET_KEY = "sk-fake-host-secret-key-for-local-use-only"  # noqa: S105  # public on purpose
"""Signs URLs when no SECRET_KEY is given."""

DEFAULT_PORT = 6060
DEFAULT_SPEED = 10.0
INSTANT = "instant"

ON_MISS = ("error", "fake", "forward", "record")
"""What a replay does with a request that was not recorded."""

AFTER_LAST = ("repeat", "miss")
"""What a replay does when all recorded responses to a request were given."""

MEMORY = "memory"
"""The store of one process alone."""

LOG_FORMATS = ("human", "json")

_HEADER_VALUE = re.compile(r"[\x21-\x7e]+")
_ORIGIN = re.compile(r"(?!http://[^/]*:80\Z|https://[^/]*:443\Z)https?://[a-z0-9._\[\]:-]+")


class SettingsError(ValueError):
    """A setting that cannot be used; ``setting`` is its name without dashes."""

    def __init__(self, setting: str, message: str) -> None:
        super().__init__(f"{setting}: {message}")
        self.setting = setting
        self.message = message


def setting(default: Any, text: str, **option: Any) -> Any:
    """A field of settings with its help and whatever else ``click.option`` takes.

    ``flag`` is given where it is not the field's name.
    """
    return field(default=default, metadata={"help": text, **option})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How a fake is set up. Raises ``SettingsError`` for a value that cannot be used.

    ``speed`` divides the waiting and nothing else; None is ``instant``. ``apps`` are pairs of a key
    and a kind or an app file. ``on_miss`` None means error, ``after_last`` None repeat.
    """

    host: str = setting("127.0.0.1", "Address to listen on.")
    port: int = setting(DEFAULT_PORT, "Port to listen on; 0 takes any free one.")
    speed: float | None = setting(
        DEFAULT_SPEED,
        f"1 is the host's own rhythm, 10 is ten times as fast, {INSTANT!r} does not wait.",
        type=str,
    )
    seed: int | None = setting(None, "Makes ids, durations and images reproducible.")
    clock: str | None = setting(
        None, "The clock starts frozen at this time, in UTC unless it has an offset.", metavar="ISO"
    )
    api_keys: tuple[str, ...] = setting(
        (DEFAULT_API_KEY,), "A key of the default app; repeatable.", flag="--api-key"
    )
    apps: tuple[tuple[str, str], ...] = setting(
        (),
        f"Another key and what it opens: {', '.join(AppKind)}, or an app file, such as an export "
        "of yours; +FAKE is a file with what the export does not have; repeatable.",
        flag="--app",
        metavar="KEY=KIND|FILE[+FAKE]",
    )
    secret_key: str = setting(
        DEFAULT_SECRET_KEY, "Signs URLs, as SECRET_KEY does on the host.", show_default=False
    )
    admin_token: str | None = setting(
        None, "Opens the admin API, /__admin/, to other machines than this one."
    )
    admin_origins: tuple[str, ...] = setting(
        (),
        "Pages of this origin may call the admin API, as http://localhost:5173; repeatable.",
        flag="--admin-origin",
        metavar="ORIGIN",
    )
    files_url: str = setting(
        "", "Prefix of the URLs of images, which are relative otherwise.", show_default=False
    )
    spec: Path | None = setting(None, "Another openapi.yaml.")
    overlays: tuple[Path, ...] = setting(
        (), "Applied after the overlay of the host version; repeatable.", flag="--overlay"
    )
    workflow: Path | None = setting(None, "The app file of the default app.")
    host_version: str = setting(
        "0.6.4", "The Dify version to fake; of a prefix such as 1.10 the newest recorded one."
    )
    scenarios: Path | None = setting(None, "A YAML file of rules: which requests go wrong, how.")
    replay: Path | None = setting(
        None, "Respond from the recordings in this folder.", metavar="DIR"
    )
    on_miss: str | None = setting(
        None,
        "What a request gets that was not recorded; forward and record send it to --upstream.",
        choices=ON_MISS,
        show_default=ON_MISS[0],
    )
    after_last: str | None = setting(
        None,
        "What a request gets when all its recorded responses were given.",
        choices=AFTER_LAST,
        show_default=AFTER_LAST[0],
    )
    upstream: str | None = setting(
        None, "The host that gets requests that were not recorded.", metavar="URL"
    )
    contract_report: Path | None = setting(
        None,
        "The JSON of contract run, for the admin API and its page to show; read again when it "
        "changes.",
        metavar="FILE",
    )
    log_format: str = setting("human", "Form of the log on stderr.", choices=LOG_FORMATS)
    store: str = setting(
        MEMORY,
        "Where state is kept: memory; sqlite:///FILE, for --workers and restarts; or "
        "redis://HOST:PORT/DB, for several machines.",
        metavar="URL",
    )
    workers: int = setting(1, "Processes that serve the port together; more need a --store.")
    ready_file: Path | None = setting(
        None, 'Gets {"url", "api_key", "pid"} as JSON once the server listens.'
    )
    ssl_certfile: Path | None = setting(
        None, "Certificate; with --ssl-keyfile the server speaks TLS."
    )
    ssl_keyfile: Path | None = setting(None, "Private key of the certificate.")

    def __post_init__(self) -> None:
        for setting, problem in self._problems():
            raise SettingsError(setting, problem)

    def _problems(self) -> Iterator[tuple[str, str]]:
        yield from self._wrong_types()
        yield from listener_problems(self.host, self.port, self.ready_file)
        yield from self._bad_keys()
        yield from self._bad_origins()
        if self.speed is not None and not 0 < self.speed < float("inf"):
            yield "speed", _bad_speed(self.speed)
        if self.clock is not None:
            from fake_server.clock import unix_seconds

            try:
                unix_seconds(self.clock)
            except ValueError as error:
                yield "clock", str(error)
        if self.files_url and not re.match(r"https?://[^/\s]+", self.files_url):
            yield (
                "files_url",
                f"{self.files_url!r} is not an http(s) address; leave it empty for relative URLs",
            )
        for name in ("log_format", "on_miss", "after_last"):
            value, choices = getattr(self, name), CHOICES[name]
            if value is not None and value not in choices:
                yield name, f"{value!r} is not one of {', '.join(choices)}"
        yield from self._bad_replay()
        yield from self._bad_store()
        yield from self._bad_tls()

    def _wrong_types(self) -> Iterator[tuple[str, str]]:
        for name, types in _TYPES.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, types):
                names = ["None" if one is type(None) else one.__name__ for one in types]
                yield name, f"{value!r} is invalid; {' or '.join(names)} is needed"

    def _bad_keys(self) -> Iterator[tuple[str, str]]:
        for key in (*self.api_keys, *(key for key, _ in self.apps)):
            if not _HEADER_VALUE.fullmatch(key):
                yield "api_key", f"{key!r} {_NOT_IN_HEADER}"
        if not self.api_keys:
            yield "api_key", "at least one key is needed"
        if len(set(self.api_keys)) != len(self.api_keys):
            yield "api_key", "the same key is given twice"
        check_secret_key(self.secret_key)
        if self.admin_token is not None and not _HEADER_VALUE.fullmatch(self.admin_token):
            yield "admin_token", f"it {_NOT_IN_HEADER}, or leave it out"

    def _bad_origins(self) -> Iterator[tuple[str, str]]:
        for origin in self.admin_origins:
            if not _ORIGIN.fullmatch(origin):
                yield (
                    "admin_origin",
                    f"{origin!r} is not what a browser sends; write it as http://localhost:5173",
                )

    def _bad_replay(self) -> Iterator[tuple[str, str]]:
        for name in ("on_miss", "after_last"):
            if getattr(self, name) is not None and self.replay is None:
                yield name, "it applies to a replay; name a folder of recordings with --replay"
        forwards = self.on_miss in ("forward", "record")
        if forwards and self.upstream is None:
            yield "on_miss", f"{self.on_miss} needs a host; name it with --upstream"
        if self.upstream is not None and not forwards:
            yield "upstream", "nothing is forwarded to it; add --on-miss forward or record"

    def _bad_store(self) -> Iterator[tuple[str, str]]:
        if self.store != MEMORY and not re.match(r"sqlite:///.|rediss?://|unix://", self.store):
            yield (
                "store",
                f"{self.store!r} is none; use memory, sqlite:///FILE or redis://HOST:PORT/DB",
            )
        if self.workers < 1:
            yield "workers", f"{self.workers} is not a number of processes; use 1 or more"
        if self.workers > 1 and self.store == MEMORY:
            yield (
                "workers",
                "workers do not share memory; add --store sqlite:///fake.db (or redis://…)",
            )
        if self.store != MEMORY and self.replay is not None:
            yield "store", "a replay keeps its state in memory; leave out --store"

    def _bad_tls(self) -> Iterator[tuple[str, str]]:
        if bool(self.ssl_certfile) != bool(self.ssl_keyfile):
            yield (
                "ssl_certfile",
                "TLS needs both --ssl-certfile and --ssl-keyfile; give the other one too",
            )
        for name in ("ssl_certfile", "ssl_keyfile"):
            path = getattr(self, name)
            if path is not None and not path.is_file():
                yield name, f"{path} is not a file that can be read"

    @property
    def scheme(self) -> str:
        return "https" if self.ssl_certfile else "http"


_NOT_IN_HEADER = "cannot be sent in a header; use printable ASCII without spaces"
CHOICES: Mapping[str, Sequence[str]] = {
    one.name: one.metadata["choices"] for one in fields(Settings) if "choices" in one.metadata
}
_NAMED_TYPES: Mapping[str, tuple[type, ...]] = {
    "str": (str,),
    "int": (int,),
    "float": (float, int),
    "Path": (Path,),
    "None": (type(None),),
}
_TYPES = {
    one.name: (tuple,)
    if str(one.type).startswith("tuple")
    else tuple(part for name in str(one.type).split(" | ") for part in _NAMED_TYPES[name])
    for one in fields(Settings)
}


def listener_problems(host: str, port: int, ready_file: Path | None) -> Iterator[tuple[str, str]]:
    """What is wrong with where a server is to listen and to say so: settings and messages."""
    if not host:
        yield "host", "an empty address would listen everywhere; if you want that, use 0.0.0.0"
    if not 0 <= port <= 65535:
        yield "port", f"{port} is not a valid port; use 0 (any free one) to 65535"
    if ready_file and (ready_file.is_dir() or not os.access(ready_file.parent, os.W_OK)):
        yield (
            "ready_file",
            f"{ready_file} cannot be written; name a file in a folder that is writable",
        )


def read_settings(values: Mapping[str, Any]) -> Settings:
    """``Settings`` from values as a command line, an environment or a test writes them.

    Raises ``SettingsError``.
    """
    return Settings(**{name: _read(name, value) for name, value in values.items()})


def _read(name: str, value: Any) -> Any:
    if name == "speed" and isinstance(value, str):
        return parse_speed(value)
    if name == "apps" and isinstance(value, Mapping):
        return tuple((key, str(app)) for key, app in value.items())
    if name == "clock" and isinstance(value, date):
        return value.isoformat()
    if _TYPES[name] == (tuple,):
        entries = [value] if isinstance(value, str | Path) else value
        if not isinstance(entries, list | tuple) or not all(
            isinstance(entry, str | Path) for entry in entries
        ):
            raise SettingsError(
                name, f"{value!r} is invalid; a string or a list of strings is needed"
            )
        texts = map(str, entries)
        if name == "apps":
            return tuple(map(_key_and_app, texts))
        return tuple(map(Path, texts)) if name == "overlays" else tuple(texts)
    return Path(value) if Path in _TYPES[name] and isinstance(value, str) else value


def _key_and_app(text: str) -> tuple[str, str]:
    key, _, app = text.partition("=")
    if not (key and app):
        raise SettingsError("app", f"{text!r} is not KEY=KIND or KEY=FILE")
    return key, app


def parse_speed(text: str) -> float | None:
    """``"instant"`` or a number as ``Settings.speed``; raises ``SettingsError``."""
    if text == INSTANT:
        return None
    try:
        return float(text)
    except ValueError:
        raise SettingsError("speed", _bad_speed(repr(text))) from None


def _bad_speed(speed: object) -> str:
    return f"{speed} is not a valid speed; use a number above 0, or {INSTANT!r}"


def check_secret_key(key: str) -> None:
    """Raise ``SettingsError`` where ``key`` cannot sign."""
    if not key:
        raise SettingsError(
            "secret_key", "an empty key signs nothing; leave it out to use the default"
        )
    try:
        key.encode()
    except UnicodeEncodeError:
        raise SettingsError("secret_key", "it is not UTF-8 text; use another key") from None
