# ruff: noqa: RUF009
"""The settings of a recorder, each a flag of ``fake-server record`` too, and its labels of keys."""

from __future__ import annotations

import math
import re
from collections.abc import MutableMapping
from dataclasses import MISSING, dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit

from dify_wire.app_kind import MAIN
from fake_server.settings import SettingsError, listener_problems, setting

if TYPE_CHECKING:
    from dify_wire.exchange import Recording

DEFAULT_TIMEOUT_S = 300.0
"""Longer than any run that the host lets live (FACTS 5: it ends them at 200 s), so that the client
gives up first.
"""

DEFAULT_PORT = 6061
"""Beside the fake's own, so that both can run at once."""

_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class RecorderSettings:
    """How a recorder is set up. Raises ``SettingsError`` for a value that cannot be used.

    ``key_labels`` are (API key, label) pairs, ``rules`` redaction rules beyond the built-in ones.
    ``timeout_s`` bounds the wait for the first byte of a response, and nothing after it.
    """

    upstream: str = setting(MISSING, "The host to record.", metavar="URL")
    to: Path = setting(MISSING, "Where the recordings go; made if missing.", metavar="DIR")
    host: str = setting("127.0.0.1", "Address to listen on.")
    port: int = setting(DEFAULT_PORT, "Port to listen on; 0 takes any free one.")
    key_labels: tuple[tuple[str, str], ...] = setting(
        (),
        "What a recording calls the app of a key; 'main' for the first other one; repeatable.",
        flag="--api-key-label",
        metavar="KEY=LABEL",
    )
    rules: tuple[str, ...] = setting(
        (),
        "What must not be kept besides keys, signatures and cookies: "
        "header:NAME, field:NAME, text:REGEX; repeatable.",
        flag="--redact",
        metavar="RULE",
    )
    keep_user: bool = setting(False, "Keep users as they are, without a pseudonym.", is_flag=True)
    timeout_s: float = setting(
        DEFAULT_TIMEOUT_S,
        "Seconds for the first byte of a response; the rest may take any time.",
        flag="--timeout",
        metavar="S",
    )
    fetch_images: bool = setting(
        True,
        "Fetch the image behind each signed URL before it expires.",
        flag="--fetch-images/--no-fetch-images",
    )
    ready_file: Path | None = setting(
        None, 'Gets {"url", "upstream", "pid"} as JSON once it listens.'
    )

    def __post_init__(self) -> None:
        _check_upstream(self.upstream)
        for name, problem in listener_problems(self.host, self.port, self.ready_file):
            raise SettingsError(name, problem)
        if not (self.timeout_s > 0 and math.isfinite(self.timeout_s)):
            raise SettingsError(
                "timeout", f"{self.timeout_s:g} is not a valid time; use seconds above 0"
            )
        for _, label in self.key_labels:
            if not _LABEL.fullmatch(label):
                raise SettingsError(
                    "api_key_label",
                    f"{label!r} is not a valid label; use letters, digits, dots and dashes",
                )


def _check_upstream(url: str) -> None:
    example = "use an address such as https://dify.example:6060"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise SettingsError(
            "upstream", f"{url!r} is not a valid address ({error}); {example}"
        ) from None
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise SettingsError("upstream", f"{url!r} is not an http or https address; {example}")
    if (
        parts.username is not None
        or parts.query
        or parts.fragment
        or not re.fullmatch(r"[!-~]+", url)
    ):
        raise SettingsError(
            "upstream", f"the address holds more than host, port and path; {example}"
        )


def split_upstream(url: str) -> SplitResult:
    """The parts of a checked address; its path is without the last slash, for a request's own path
    follows it.
    """
    return urlsplit(url.rstrip("/"))


_OF_THE_APP = ("application/json", "text/event-stream")
"""HTML pages are sent before a key is checked (FACTS 1.3, 2)."""


class KeyLabels:
    """Labels of keys: those given, ``main`` for the first other that the host accepts, ``app-2`` …

    ``labels`` is updated, so that its owner knows each key as soon as the host has accepted it.
    """

    def __init__(self, labels: MutableMapping[str, str]) -> None:
        self._labels = labels

    def app(self, exchange: Recording) -> str | None:
        """The label of the exchange's key; None if the host rejects it, or has not checked it."""
        credentials = exchange.request.header("authorization", "").strip().partition(" ")[2]
        key = credentials.strip()
        if not key or exchange.status == 401:
            return None
        if key not in self._labels and _is_accepted(exchange):
            self._labels[key] = self._next()
        return self._labels.get(key)

    def _next(self) -> str:
        taken = set(self._labels.values())
        if MAIN not in taken:
            return MAIN
        number = len(taken) + 1
        while f"app-{number}" in taken:
            number += 1
        return f"app-{number}"


def _is_accepted(exchange: Recording) -> bool:
    """Whether only a key that the host knows gets this response: the key is checked first."""
    return (
        exchange.request.path.startswith("/v1/")
        and exchange.request.path != "/v1/"  # needs no key
        and exchange.request.method != "OPTIONS"
        and exchange.status < 500
        and exchange.status != 405  # sent before the key is checked
        and exchange.header("content-type", "").startswith(_OF_THE_APP)
    )
