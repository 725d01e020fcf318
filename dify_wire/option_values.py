"""What the values of options must be, and how a shell completes them."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterable
from urllib.parse import urlsplit

import click


def base_url(_: click.Context | None, __: click.Parameter | None, url: str | None) -> str | None:
    """The URL without a last slash, and without the ``/v1`` that Dify's console shows with it."""
    if url is None:
        return None
    try:
        parts = urlsplit(url)
        whole = parts.scheme in ("http", "https") and parts.hostname and (parts.port or 1)
    except ValueError as error:
        raise click.BadParameter(f"not a valid URL: {error}") from None
    if "@" in parts.netloc:
        raise click.BadParameter("leave out user and password; the API key alone opens the host")
    if not whole or parts.query or parts.fragment or not url.isascii() or not url.isprintable():
        message = f"{url!r} is not a valid base URL, such as http://127.0.0.1:6060"
        raise click.BadParameter(message)
    return url.rstrip("/").removesuffix("/v1")


def key(_: click.Context, parameter: click.Parameter, key: str | None) -> str | None:
    if key is not None and not is_header_value(key):
        message = "is empty, or has characters that no header can carry, such as a space at its end"
        raise click.BadParameter(message, param=parameter)
    return key


def is_header_value(text: str) -> bool:
    """Whether a header can carry ``text`` as it is."""
    return text == text.strip() != "" and text.isascii() and text.isprintable()


def seconds(_: click.Context, __: click.Parameter, seconds: float) -> float:
    if not (math.isfinite(seconds) and 0 < seconds <= threading.TIMEOUT_MAX):
        raise click.BadParameter(f"{seconds} is not a valid number of seconds")
    return seconds


def completed_by(
    values: Callable[[], Iterable[str]],
) -> Callable[[click.Context, click.Parameter, str], list[str]]:
    """For ``shell_complete``: those of ``values`` that begin with what was typed."""
    return lambda _, __, typed: [value for value in values() if value.startswith(typed)]


def host_versions() -> Iterable[str]:
    """The versions that were recorded; loaded only when a shell asks for them."""
    from dify_wire.profile import HOST_VERSIONS

    return HOST_VERSIONS
