"""What a recorder is told: which host, where to keep its answers, and what must not be kept."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from fake_server.settings import SettingsError, listener_problems

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
    ``timeout_s`` bounds the wait for the first byte of an answer, and nothing after it.
    """

    upstream: str
    to: Path
    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    key_labels: tuple[tuple[str, str], ...] = ()
    rules: tuple[str, ...] = ()
    keep_user: bool = False
    timeout_s: float = DEFAULT_TIMEOUT_S
    fetch_images: bool = True
    ready_file: Path | None = None

    def __post_init__(self) -> None:
        _check_upstream(self.upstream)
        for setting, problem in listener_problems(self.host, self.port, self.ready_file):
            raise SettingsError(setting, problem)
        if not (self.timeout_s > 0 and math.isfinite(self.timeout_s)):
            raise SettingsError(
                "timeout", f"{self.timeout_s:g} is no time to wait; use seconds above 0"
            )
        for _, label in self.key_labels:
            if not _LABEL.fullmatch(label):
                raise SettingsError(
                    "api_key_label", f"{label!r} is no label; use letters, digits, dots and dashes"
                )


def _check_upstream(url: str) -> None:
    example = "use an address such as https://dify.example:6060"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise SettingsError("upstream", f"{url!r} is no address ({error}); {example}") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise SettingsError("upstream", f"{url!r} is no http(s) address; {example}")
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
