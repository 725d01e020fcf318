"""Sends runs to a host, and follows them."""

from __future__ import annotations

import ipaddress
import json
import ssl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import quote, urlsplit
from urllib.request import getproxies

import httpx
from httpx_sse import EventSource, SSEError

from dify_wire.command import CommandError
from dify_wire.strict import did_you_mean
from dify_wire.text_file import readable, reason
from fake_server.client.errors import (
    GOES_ON,
    HostError,
    connection_errors,
    cut,
    error_response,
    file_error,
    json_object,
)

_LONGEST_CONNECT_S = 10.0
_LONGEST_STOP_S = 5.0  # of Ctrl-C
_LOST_FILE = "; the run has ended, but its file was not loaded"
_CHECK_BASE_URL = "start a fake with 'fake-server serve', or check --base-url"
_CHECK_FILES_URL = (
    "that is where the host says that the file is; set FILES_URL of the host to an address that "
    "this machine reaches"
)
_ENDS = ("workflow_finished", "workflow_paused", "error")
_PINGS = ("", "ping")
"""The data of a ping: none, or in 0.6.3 the word."""

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
        str(entry["variable"]): Input(
            str(entry["variable"]),
            kind,
            bool(entry.get("required")),
            tuple(map(str, entry.get("options") or ())),
        )
        for kind, entry in form
    }


def is_local(base_url: str) -> bool:
    """Whether the host is on this machine, as its address says."""
    name = urlsplit(base_url).hostname or ""
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return name == "localhost"
    return address.is_loopback or address.is_unspecified


class Client:
    """One user of one app of a host; a context manager.

    ``timeout_s`` bounds each silence of the host. Every method raises ``HostError`` where the host
    responds with an error or not at all.
    """

    def __init__(self, base_url: str, api_key: str, user: str, timeout_s: float) -> None:
        self._base_url = base_url
        self._user = user
        self._timeout_s = timeout_s
        proxied = not is_local(base_url)  # no proxy knows this machine's own servers
        self._unreachable = _CHECK_BASE_URL
        if proxied and getproxies():
            self._unreachable += ", and the proxy that the environment names"
        try:
            self._http = httpx.Client(
                base_url=base_url,
                headers={"Authorization": f"Bearer {api_key}"},
                timeout=httpx.Timeout(timeout_s, connect=min(timeout_s, _LONGEST_CONNECT_S)),
                trust_env=proxied,
                verify=ssl.create_default_context(),
            )
        except (httpx.InvalidURL, ImportError, ValueError) as error:
            raise CommandError(
                f"the proxy that the environment names cannot be used ({readable(str(error))}); "
                "correct HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY, or unset them"
            ) from None

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
        body = json_object(response.text, "the response with the inputs of the app")
        try:
            form = [(kind, one) for entry in body["user_input_form"] for kind, one in entry.items()]
            inputs_of(form)
        except (AttributeError, LookupError, TypeError):
            raise HostError("the host describes no inputs of an app; is this Dify?") from None
        return form

    def inputs(self) -> dict[str, Input]:
        """The inputs of the app by name, in their order."""
        return inputs_of(self.form())

    def upload(self, path: Path) -> dict[str, str]:
        """Upload a file; what an input that takes a file is then given."""
        try:
            if path.exists() and not path.is_file():  # a device may have no end
                raise CommandError(f"{path} is not a file; name one that can be uploaded")
            content = path.read_bytes()
        except OSError as error:
            raise CommandError(f"{path}: cannot be read: {reason(error)}") from None
        response = self._request(
            "POST",
            "/v1/files/upload",
            data={"user": self._user},
            files={"file": (path.name, content)},
        )
        uploaded = json_object(response.text, "the response to the upload")
        if not isinstance(uploaded.get("id"), str):
            raise HostError("the response to the upload has no id of the file; is this Dify?")
        kind = "image" if str(uploaded.get("mime_type", "")).startswith("image/") else "document"
        return {"type": kind, "transfer_method": "local_file", "upload_file_id": uploaded["id"]}

    def run_blocking(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Run the app; the host's response, which comes when the run has ended."""
        body = self._body(inputs, "blocking")
        response = self._request("POST", "/v1/workflows/run", json=body, lost=GOES_ON)
        return json_object(response.text, "the response")

    def run_streaming(self, inputs: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """Run the app; each event when it comes, pings as ``{"event": "ping"}``.

        Raises ``HostError`` too where the stream ends before the run does.
        """
        ended = False
        with (
            self._errors(GOES_ON),
            self._http.stream(
                "POST", "/v1/workflows/run", json=self._body(inputs, "streaming")
            ) as response,
        ):
            if response.status_code != httpx.codes.OK:
                response.read()
                raise error_response(response)
            try:
                for frame in EventSource(response).iter_sse():
                    if frame.data in _PINGS:
                        yield {"event": "ping"}
                        continue
                    event = json_object(frame.data, "an event")
                    ended = ended or event.get("event") in _ENDS
                    yield event
            except SSEError as error:
                response.read()
                raise HostError(f"the response is no stream of events: {error}") from None
            except (httpx.RemoteProtocolError, httpx.ReadError) as error:
                if not ended:
                    raise cut(str(error)) from None
        if not ended:
            raise cut("the host closed it")

    def stop(self, task_id: str) -> bool:
        """Ask the host to stop a run; whether it took the request."""
        with suppress(HostError):
            path = f"/v1/workflows/tasks/{quote(task_id, safe='')}/stop"
            self._request("POST", path, json={"user": self._user}, timeout=_LONGEST_STOP_S)
            return True
        return False

    def download(self, url: Any) -> httpx.Response:
        """The file behind the URL of an output, which may be relative to the host.

        The URL is signed, so no API key is sent with it.
        """
        if not isinstance(url, str):
            raise HostError(f"the host gives no URL for the file, but {url!r}")
        try:
            parts = urlsplit(url)
        except ValueError as error:
            raise HostError(f"the URL of the file is not valid ({error})") from None
        base_url = f"{parts.scheme}://{parts.netloc}" if parts.netloc else self._base_url
        unreachable = _CHECK_FILES_URL if parts.netloc else self._unreachable
        with connection_errors(base_url, self._timeout_s, _LOST_FILE, unreachable):
            request = self._http.build_request("GET", url)
            del request.headers["Authorization"]
            response = self._http.send(request, follow_redirects=True)
        if not response.is_success:
            raise file_error(response)
        return response

    def _body(self, inputs: Mapping[str, Any], mode: str) -> dict[str, Any]:
        return {"inputs": dict(inputs), "response_mode": mode, "user": self._user}

    def _request(self, method: str, path: str, lost: str = "", **parts: Any) -> httpx.Response:
        with self._errors(lost):
            response = self._http.request(method, path, **parts)
        if not response.is_success:
            raise error_response(response)
        return response

    def _errors(self, lost: str) -> AbstractContextManager[None]:
        return connection_errors(self._base_url, self._timeout_s, lost, self._unreachable)


def input_value(field: Input, text: str, client: Client) -> Any:
    """The value that ``text`` means for an input; ``@FILE`` is uploaded.

    Raises ``CommandError`` for a value that the input does not take.
    """
    if field.kind in ("file", "file-list"):
        if not text.startswith("@") or text == "@":
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
    if field.kind == "json_object":
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            example = f"{field.name}='{{\"key\": 1}}'"
            raise CommandError(f"input {field.name} takes JSON, such as {example}") from None
    return text
