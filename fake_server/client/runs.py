"""Sends runs to a host, and follows them."""

from __future__ import annotations

import json
import re
import ssl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

import httpx
from httpx_sse import EventSource, SSEError

from dify_wire.command import CommandError
from dify_wire.strict import did_you_mean
from dify_wire.text_file import readable, reason

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})

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
_LONGEST_CONNECT_S = 10.0
_ENDS = ("workflow_finished", "workflow_paused", "error")
_PINGS = ("", "ping")
"""The data of a ping: none, or in 0.6.3 the word."""


class HostError(CommandError):
    """The host cannot be reached, or responds with an error."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class UnreachableError(HostError):
    """Nothing accepts connections at the address."""


Form = Sequence[tuple[str, Mapping[str, Any]]]
"""Start variables as ``user_input_form`` has them: the type of each with its entry."""


@dataclass(frozen=True, slots=True)
class Input:
    """An input of an app, as ``GET /v1/parameters`` describes it."""

    name: str
    kind: str
    required: bool
    options: tuple[str, ...]


def inputs_of(form: Form) -> dict[str, Input]:
    """The inputs that a form describes, by name."""
    return {
        entry["variable"]: Input(
            entry["variable"], kind, bool(entry.get("required")), tuple(entry.get("options") or ())
        )
        for kind, entry in form
    }


class Client:
    """One user of one app of a host; a context manager.

    ``timeout_s`` bounds each silence of the host. Every method raises ``HostError`` where the host
    responds with an error or not at all.
    """

    def __init__(self, base_url: str, api_key: str, user: str, timeout_s: float) -> None:
        self._base_url = base_url
        self._user = user
        self._timeout_s = timeout_s
        local = urlsplit(base_url).hostname in LOOPBACK
        self._http = httpx.Client(
            base_url=base_url,
            headers={"Authorization": f"Bearer {api_key}"},
            timeout=httpx.Timeout(timeout_s, connect=min(timeout_s, _LONGEST_CONNECT_S)),
            trust_env=not local,  # a proxy does not know this machine's own servers
            verify=ssl.create_default_context(),
        )

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._http.close()

    def form(self) -> Form:
        """The types and entries of the start variables of the app, in their order."""
        response = self._request("GET", "/v1/parameters", params={"user": self._user})
        form = response.json().get("user_input_form", [])
        return [(kind, field) for entry in form for kind, field in entry.items()]

    def inputs(self) -> dict[str, Input]:
        """The inputs of the app by name, in their order."""
        return inputs_of(self.form())

    def upload(self, path: Path) -> dict[str, str]:
        """Upload a file; what an input that takes a file is then given."""
        try:
            content = path.read_bytes()
        except OSError as error:
            raise CommandError(f"{path}: cannot be read: {reason(error)}") from None
        response = self._request(
            "POST",
            "/v1/files/upload",
            data={"user": self._user},
            files={"file": (path.name, content)},
        )
        uploaded = response.json()
        kind = "image" if str(uploaded.get("mime_type", "")).startswith("image/") else "document"
        return {"type": kind, "transfer_method": "local_file", "upload_file_id": uploaded["id"]}

    def run_blocking(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Run the app; the host's response, which comes when the run has ended."""
        response = self._request("POST", "/v1/workflows/run", json=self._body(inputs, "blocking"))
        return _object(response.text, "the response")

    def run_streaming(self, inputs: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """Run the app; each event when it comes, pings as ``{"event": "ping"}``.

        Raises ``HostError`` too where the stream ends before the run does.
        """
        ended = False
        with (
            self._errors(),
            self._http.stream(
                "POST", "/v1/workflows/run", json=self._body(inputs, "streaming")
            ) as response,
        ):
            if response.status_code != httpx.codes.OK:
                response.read()
                raise _error_response(response)
            try:
                for frame in EventSource(response).iter_sse():
                    if frame.data in _PINGS:
                        yield {"event": "ping"}
                        continue
                    event = _object(frame.data, "an event")
                    ended = ended or event.get("event") in _ENDS
                    yield event
            except SSEError as error:
                response.read()
                raise HostError(f"the response is no stream of events: {error}") from None
            except (httpx.RemoteProtocolError, httpx.ReadError) as error:
                if not ended:
                    raise _cut(str(error)) from None
        if not ended:
            raise _cut("the host closed it")

    def stop(self, task_id: str) -> bool:
        """Ask the host to stop a run; whether it took the request."""
        with suppress(HostError):
            self._request("POST", f"/v1/workflows/tasks/{task_id}/stop", json={"user": self._user})
            return True
        return False

    def download(self, url: str) -> httpx.Response:
        """The file behind the URL of an output, which may be relative to the host.

        The URL is signed, so no API key is sent with it.
        """
        response = self._send(self._http.build_request("GET", url, headers={"Authorization": ""}))
        if response.status_code == httpx.codes.FORBIDDEN:
            raise HostError(
                "the host does not serve the file: its URL has expired, or the signature is not "
                "of this host; run again"
            )
        return _succeeded(response)

    def _body(self, inputs: Mapping[str, Any], mode: str) -> dict[str, Any]:
        return {"inputs": dict(inputs), "response_mode": mode, "user": self._user}

    def _request(self, method: str, path: str, **parts: Any) -> httpx.Response:
        return _succeeded(self._send(self._http.build_request(method, path, **parts)))

    def _send(self, request: httpx.Request) -> httpx.Response:
        with self._errors():
            return self._http.send(request, follow_redirects=True)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except httpx.HTTPError as error:
            raise _lost_connection(error, self._base_url, self._timeout_s) from None


def input_value(field: Input, text: str, client: Client) -> Any:
    """The value that ``text`` means for an input; ``@FILE`` is uploaded.

    Raises ``CommandError`` for a value that the input does not take.
    """
    if field.kind in ("file", "file-list"):
        if not text.startswith("@"):
            raise CommandError(f"input {field.name} takes a file: write {field.name}=@FILE")
        uploaded = client.upload(Path(text[1:]))
        return [uploaded] if field.kind == "file-list" else uploaded
    if field.options and text not in field.options:
        choices = ", ".join(field.options)
        near = did_you_mean(text, field.options)
        raise CommandError(f"{text!r} is no choice of input {field.name}{near}; it has {choices}")
    if field.kind == "number":
        try:  # and send the text: every version converts it, 0.6.4 takes nothing else
            float(text)
        except ValueError:
            raise CommandError(f"input {field.name} takes a number, not {text!r}") from None
    return text


def _succeeded(response: httpx.Response) -> httpx.Response:
    if response.is_success:
        return response
    raise _error_response(response)


def _object(text: str, what: str) -> dict[str, Any]:
    try:
        content = json.loads(text)
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise HostError(f"{what} is not a JSON object: {readable(text[:200])}")
    return content


def _cut(detail: str) -> HostError:
    return HostError(
        f"the stream was cut before the run ended ({readable(detail)}); the run may go on there"
    )


def _error_response(response: httpx.Response) -> HostError:
    """What the response says, and what to do about it; its body has been read."""
    try:
        content = response.json()
        text = f"{content['code']}: {content['message']}"
    except (ValueError, TypeError, LookupError):
        title = _TITLE.search(response.text)
        text = unescape(title[1]) if title else response.text or "an empty body"
    text = readable(" ".join(text.split()))
    if len(text) > _LONGEST_MESSAGE:
        text = text[:_LONGEST_MESSAGE] + "…"
    hint = _HINTS.get(response.status_code)
    message = f"the host responds with {response.status_code}, {text}"
    return HostError(f"{message}; {hint}" if hint else message, response.status_code)


def _lost_connection(error: httpx.HTTPError, base_url: str, timeout_s: float) -> HostError:
    """Why no response came, in words for whoever typed the command."""
    detail = readable(str(error)) or type(error).__name__
    match error:
        case httpx.ConnectTimeout():
            return HostError(f"{base_url} does not accept a connection; check --base-url")
        case httpx.ConnectError() if "certificate" in detail.lower():
            return HostError(
                f"{base_url} has a certificate that is not trusted ({detail}); "
                "name its authority in SSL_CERT_FILE"
            )
        case httpx.ConnectError():
            return UnreachableError(
                f"nothing can be reached at {base_url} ({detail}); "
                "start a fake with 'fake-server serve', or give --base-url"
            )
        case httpx.TimeoutException():
            return HostError(
                f"the host has sent nothing for {timeout_s:g} s; the run may go on there; "
                "raise --timeout"
            )
        case _:
            return HostError(
                f"the connection to {base_url} was lost ({detail}); the run may go on there"
            )
