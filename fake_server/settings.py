"""The deployment: everything that is a choice of whoever runs the fake, checked once."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

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
"""What a replay does when all recorded answers to a request were given."""

_KEY_FORM = re.compile(r"[\x21-\x7e]+")


class SettingsError(ValueError):
    """A setting that cannot be used; ``setting`` is its name without dashes."""

    def __init__(self, setting: str, message: str) -> None:
        super().__init__(f"{setting}: {message}")
        self.setting = setting


_KINDS: dict[str, tuple[type, ...]] = {
    "host": (str,),
    "port": (int,),
    "speed": (float, int, type(None)),
    "seed": (int, type(None)),
    "clock": (str, type(None)),
    "api_keys": (tuple,),
    "apps": (tuple,),
    "secret_key": (str,),
    "admin_token": (str, type(None)),
    "files_url": (str,),
    "spec": (Path, type(None)),
    "overlays": (tuple,),
    "workflow": (Path, type(None)),
    "host_version": (str,),
    "replay": (Path, type(None)),
    "on_miss": (str, type(None)),
    "after_last": (str, type(None)),
    "upstream": (str, type(None)),
    "log_format": (str,),
    "scenarios": (Path, type(None)),
    "ready_file": (Path, type(None)),
    "ssl_certfile": (Path, type(None)),
    "ssl_keyfile": (Path, type(None)),
}


def _described(kinds: tuple[type, ...]) -> str:
    return " or ".join("None" if kind is type(None) else kind.__name__ for kind in kinds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How a fake is set up. Raises ``SettingsError`` for a value that cannot be used.

    ``speed`` divides the waiting and nothing else: 1 is the host's own rhythm, None ("instant")
    waits for nothing. ``clock`` is a moment in ISO 8601, UTC unless it has an offset, at which the
    server's clock starts frozen. ``admin_token`` opens the admin API from elsewhere than this
    machine; without one it stays shut there. ``apps`` are further keys with what they open:
    workflow, chat, unpublished, disabled, deleted, or an app file. ``replay`` is a folder of
    recordings to answer from. ``on_miss`` (None: error) says what a request gets that is not among
    them, ``after_last`` (None: repeat) what it gets when every recorded answer to it was given;
    ``upstream`` is the host that misses are forwarded to.
    """

    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    speed: float | None = DEFAULT_SPEED
    seed: int | None = None
    clock: str | None = None
    api_keys: tuple[str, ...] = (DEFAULT_API_KEY,)
    apps: tuple[tuple[str, str], ...] = ()
    secret_key: str = DEFAULT_SECRET_KEY
    admin_token: str | None = None
    files_url: str = ""
    spec: Path | None = None
    overlays: tuple[Path, ...] = ()
    workflow: Path | None = None
    host_version: str = "0.6.4"
    replay: Path | None = None
    on_miss: str | None = None
    after_last: str | None = None
    upstream: str | None = None
    log_format: str = "human"
    scenarios: Path | None = None
    ready_file: Path | None = None
    ssl_certfile: Path | None = None
    ssl_keyfile: Path | None = None

    def __post_init__(self) -> None:
        for name, kinds in _KINDS.items():
            if isinstance(getattr(self, name), bool) or not isinstance(getattr(self, name), kinds):
                raise SettingsError(
                    name, f"{getattr(self, name)!r} will not do; {_described(kinds)} is needed"
                )
        for key in (*self.api_keys, *(key for key, _ in self.apps)):
            if not _KEY_FORM.fullmatch(key):
                raise SettingsError(
                    "api_key",
                    f"{key!r} cannot be sent in a header; use printable ASCII without spaces",
                )
        if not self.api_keys:
            raise SettingsError("api_key", "at least one key is needed")
        if len(set(self.api_keys)) != len(self.api_keys):
            raise SettingsError("api_key", "the same key is given twice")
        if not self.host:
            raise SettingsError(
                "host", "an empty address would listen everywhere; say 0.0.0.0 if that is meant"
            )
        if not 0 <= self.port <= 65535:
            raise SettingsError("port", f"{self.port} is no port; use 0 (any free one) to 65535")
        if self.speed is not None and not 0 < self.speed < float("inf"):
            raise SettingsError(
                "speed", f"{self.speed} is no speed; use a number above 0, or {INSTANT!r}"
            )
        self._check_clock()
        checked_secret_key(self.secret_key)
        if self.admin_token is not None and not _KEY_FORM.fullmatch(self.admin_token):
            raise SettingsError(
                "admin_token",
                "it cannot be sent in a header; use printable ASCII without spaces, or leave it out",
            )
        if self.files_url and not re.match(r"https?://[^/\s]+", self.files_url):
            raise SettingsError(
                "files_url",
                f"{self.files_url!r} is no http(s) address; leave it empty for relative URLs",
            )
        if self.log_format not in ("human", "json"):
            raise SettingsError("log_format", f"{self.log_format!r} is neither human nor json")
        self._check_replay()
        self._check_ready_file()
        self._check_tls()

    def _check_clock(self) -> None:
        if self.clock is None:
            return
        from fake_server.timestamps import unix_seconds

        try:
            unix_seconds(self.clock)
        except ValueError as error:
            raise SettingsError("clock", str(error)) from None

    def _check_replay(self) -> None:
        for name, choices in (("on_miss", ON_MISS), ("after_last", AFTER_LAST)):
            value = getattr(self, name)
            if value is not None and value not in choices:
                raise SettingsError(name, f"{value!r} is none of {', '.join(choices)}")
            if value is not None and self.replay is None:
                raise SettingsError(
                    name,
                    "it says how to replay, and nothing is replayed; name a folder with --replay",
                )
        forwards = self.on_miss in ("forward", "record")
        if forwards and self.upstream is None:
            raise SettingsError(
                "on_miss", f"{self.on_miss} needs a host to ask; name it with --upstream"
            )
        if self.upstream is not None and not forwards:
            raise SettingsError(
                "upstream", "nothing is forwarded to it; add --on-miss forward or record"
            )

    def _check_ready_file(self) -> None:
        path = self.ready_file
        if path is not None and (path.is_dir() or not os.access(path.parent, os.W_OK)):
            raise SettingsError(
                "ready_file", f"{path} cannot be written; name a file in a folder that is writable"
            )

    def _check_tls(self) -> None:
        if bool(self.ssl_certfile) != bool(self.ssl_keyfile):
            raise SettingsError(
                "ssl_certfile",
                "TLS needs both --ssl-certfile and --ssl-keyfile; give the other one too",
            )
        for name, path in (("ssl_certfile", self.ssl_certfile), ("ssl_keyfile", self.ssl_keyfile)):
            if path is not None and not path.is_file():
                raise SettingsError(name, f"{path} is not a file that can be read")

    @property
    def scheme(self) -> str:
        return "https" if self.ssl_certfile else "http"


def parse_speed(text: str) -> float | None:
    """``"instant"`` or a number as ``Settings.speed``; raises ``SettingsError``."""
    if text == INSTANT:
        return None
    try:
        return float(text)
    except ValueError:
        raise SettingsError(
            "speed", f"{text!r} is no speed; use a number above 0, or {INSTANT!r}"
        ) from None


def checked_secret_key(key: str) -> str:
    """``key`` if it can sign; raises ``SettingsError``."""
    if not key:
        raise SettingsError(
            "secret_key", "an empty key signs nothing; leave it out to use the default"
        )
    try:
        key.encode()
    except UnicodeEncodeError:
        raise SettingsError("secret_key", "it is not UTF-8 text; use another key") from None
    return key
