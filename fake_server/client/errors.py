"""What went wrong between the client and a host, each in one line that says what to do."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from html import unescape
from typing import Any

import httpx

from dify_wire.command import CommandError
from dify_wire.text_file import readable

_HINTS = {
    401: "check --api-key",
    403: "look at the app in Dify: it may be off, or its API",
    404: "check --base-url: it is the address without /v1",
    413: "the request is larger than the proxy of the host takes",
    429: "wait and try again: the host or its quota is at its limit",
    502: "the proxy stands, but Dify behind it does not respond",
    503: "the host is overloaded or being upgraded; try again later",
    504: "the proxy has given up waiting; leave out --blocking, or raise the proxy's limit",
}
_LONGEST_MESSAGE = 300
_TITLE = re.compile(r"<title>(.*?)</title>", re.DOTALL | re.IGNORECASE)
GOES_ON = "; the run may go on there"


class HostError(CommandError):
    """The host cannot be reached, or responds with an error."""


class UnreachableError(HostError):
    """Nothing accepts connections at the address."""


def json_object(text: str, what: str) -> dict[str, Any]:
    """The object that ``text`` is. Raises ``HostError`` for anything else."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        hint = "; check --base-url" if _TITLE.search(text) else ""
        raise HostError(f"{what} is not a JSON object: {_shown(text)}{hint}")
    return content


def cut(detail: str) -> HostError:
    """The stream has ended before the run."""
    return HostError(f"the stream was cut before the run ended ({readable(detail)}){GOES_ON}")


def error_response(response: httpx.Response) -> HostError:
    """What the response says, and what to do about it; its body has been read."""
    status = response.status_code
    if response.has_redirect_location:
        address = response.headers["location"].partition("?")[0]
        advice = "give --base-url the address that the host has"
        return HostError(f"the host redirects to {_shown(address)} with {status}; {advice}")
    message = f"the host responds with {status}, {_stated(response)}"
    hint = _HINTS.get(status)
    return HostError(f"{message}; {hint}" if hint else message)


def file_error(response: httpx.Response) -> HostError:
    """Why the host does not serve the file of a run."""
    if response.status_code == httpx.codes.FORBIDDEN:
        return HostError(
            "the host does not serve the file: its URL has expired, or the signature is not of "
            "this host; run again"
        )
    stated = f"{response.status_code}, {_stated(response)}"
    return HostError(f"the host does not serve the file: it responds with {stated}")


def _stated(response: httpx.Response) -> str:
    """The reason that the response gives."""
    try:
        content = response.json()
        return _shown(f"{content['code']}: {content['message']}")
    except (ValueError, TypeError, LookupError, RecursionError):
        return _shown(response.text)


def _shown(text: str) -> str:
    """One line of what the host sent: of a page the title."""
    title = _TITLE.search(text)
    text = readable(" ".join((unescape(title[1]) if title else text or "an empty body").split()))
    return text if len(text) <= _LONGEST_MESSAGE else text[:_LONGEST_MESSAGE] + "…"


@contextmanager
def connection_errors(url: str, timeout_s: float, lost: str, unreachable: str) -> Iterator[None]:
    """Turns what httpx raises into ``HostError``, in words for whoever typed the command.

    ``lost`` is said of a connection that breaks, ``unreachable`` where there is none to be had.
    """
    try:
        yield
    except (httpx.InvalidURL, httpx.UnsupportedProtocol, UnicodeError) as error:
        raise HostError(f"{readable(url)} is no address of a host ({_detail(error)})") from None
    except httpx.HTTPError as error:
        raise _lost_connection(error, url, timeout_s, lost, unreachable) from None


def _lost_connection(
    error: httpx.HTTPError, url: str, timeout_s: float, lost: str, unreachable: str
) -> HostError:
    detail = _detail(error)
    match error:
        case httpx.ProxyError():
            return HostError(
                f"the proxy of the environment does not let {url} through ({detail}); "
                "name the host in NO_PROXY, or ask whoever runs the proxy"
            )
        case httpx.ConnectTimeout():
            return HostError(f"{url} does not accept a connection; {unreachable}")
        case httpx.ConnectError() if "certificate" in detail.lower():
            return HostError(
                f"{url} has a certificate that is not trusted ({detail}); "
                "name its authority in SSL_CERT_FILE"
            )
        case httpx.ConnectError():
            return UnreachableError(f"nothing can be reached at {url} ({detail}); {unreachable}")
        case httpx.TimeoutException():
            return HostError(
                f"the host has sent nothing for {timeout_s:g} s{lost}; raise --timeout"
            )
        case _:
            return HostError(f"the connection to {url} was lost ({detail}){lost}")


def _detail(error: Exception) -> str:
    return readable(str(error)) or type(error).__name__
