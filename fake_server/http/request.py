"""One request on its way through the app, checked in the host's order (FACTS 3)."""

from __future__ import annotations

import json
import re
import socket
import struct
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from functools import lru_cache
from itertools import accumulate
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from starlette.types import ASGIApp, Receive, Scope, Send

from fake_server.host_spec import HostError, HostErrors, Operation
from fake_server.host_state import HostState
from fake_server.http.known import KnownRequest, joined
from fake_server.http.responses import (
    JSON,
    TRANSPORT,
    RawHeaders,
    Response,
    app_response,
    json_bytes,
)
from fake_server.journal.entry import Entry
from fake_server.journal.exchanges import AccessLog, ObservedExchange
from fake_server.runs.run_body import user_text
from fake_server.scenarios.effects import NO_EFFECTS, Effects
from fake_server.workflow.model import App

if TYPE_CHECKING:
    from fake_server.http.form import Form

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)

_NESTING_LIMIT = 950
"""The levels of JSON that the standard library's parser accepts on the host [C: deep_json]."""

_STRICT_NESTING_LIMIT = 1025
"""The same of the strict parser, orjson."""

_BRACKETS = 4096
"""So many are counted before a look at the depth, which what is nested too deep soon reaches."""

_STEPS = {"[": 1, "{": 1, "]": -1, "}": -1}
_INTEGERS = range(-(1 << 63), 1 << 64)
_SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")


class ClientLeftError(Exception):
    """The client left before it had sent everything, or before it got a response."""


class Request(ObservedExchange):
    """A request of the host's API; ``operation`` and ``parameters`` are set once it is routed."""

    operation: Operation
    parameters: Mapping[str, str] = {}
    effects: Effects = NO_EFFECTS
    due: float | None = None
    """The clock's ticks at which what is sent now is due; None: when it is sent."""
    _headers: Mapping[bytes, bytes] | None = None
    _body: bytes | None = None
    _json: dict[str, Any] | None = None
    _form: Form | None = None

    def __init__(
        self,
        host: HostState,
        log: AccessLog,
        scope: Scope,
        receive: Receive,
        send: Send,
        *,
        known: KnownRequest,
        entry: Entry | None = None,
    ) -> None:
        body_limit = host.spec.limits.request_body_bytes
        super().__init__(log, scope, receive, send, body_limit, entry=entry)
        self.host = host
        self.spec = host.spec
        self.known = known

    @property
    def headers(self) -> Mapping[bytes, bytes]:
        """All that were sent, ``joined``."""
        if self._headers is None:
            self._headers = joined(self.scope["headers"])
        return self._headers

    # What was sent
    # ------------------------------------------------------------------------------------------

    def app(self) -> App:
        """The app behind the request's key. Raises ``HostError``."""
        return self.known.app or self.known.authorised(self.host)

    @property
    def operation_id(self) -> str:
        return self.operation.operation_id

    @property
    def app_id(self) -> str:
        return self.app().app_id

    def running_runs(self) -> int:
        """How many runs of the request's app are being played."""
        return self.host.store.running_of(self.app_id)

    @property
    def origin(self) -> str:
        """The address to which the client sent the request."""
        name, port = self.scope.get("server") or ("127.0.0.1", self.host.settings.port)
        authority = self.known.headers.get(b"host", b"").decode("latin-1") or f"{name}:{port}"
        return f"{self.scope.get('scheme', 'http')}://{authority}"

    def query(self) -> dict[str, str]:
        """The parameters of the query; of a repeated name the first counts (FACTS 6.2)."""
        found: dict[str, str] = {}
        text = self.scope["query_string"].decode("latin-1")
        for name, value in parse_qsl(text, keep_blank_values=True):
            found.setdefault(name, value)
        return found

    async def chunks(self) -> AsyncGenerator[bytes]:
        """The body as it comes. Raises ``ClientLeftError`` and ``BodyTooLargeError``."""
        if self._body is not None:
            yield self._body
            return
        more = True
        while more:
            message = await self.receive()
            if message["type"] != "http.request":
                raise ClientLeftError
            more = message.get("more_body", False)
            yield message.get("body", b"")

    async def body(self) -> bytes:
        """The whole body, read once. Raises ``ClientLeftError`` and ``BodyTooLargeError``."""
        if self._body is None:
            parts, more = [], True
            while more:
                message = await self.receive()
                if message["type"] != "http.request":
                    raise ClientLeftError
                parts.append(message.get("body", b""))
                more = message.get("more_body", False)
            self._body = b"".join(parts)
        return self._body

    async def json(self) -> dict[str, Any]:
        """The request's JSON object. Raises ``HostError``."""
        if self._json is None:
            content_type = self.known.content_type
            spec = self.spec
            self._json = json_object(
                await self.body(), content_type, spec.errors, spec.http.strict_json
            )
        return self._json

    async def form(self) -> Form:
        """The request's form; an empty one where its body is none. Raises ``HostError``."""
        if self._form is None:
            from fake_server.http.form import FormTooLargeError, read_form

            content_type = self.known.content_type
            try:
                self._form = await read_form(self.chunks(), content_type)
            except FormTooLargeError:
                raise self.spec.errors("form_too_large") from None
        return self._form

    async def user(self) -> str | None:
        """The user, from where the operation's entry in the spec says. Raises ``HostError``."""
        value: object = None
        match self.operation.user_in:
            case "json":
                value = (await self.json()).get("user")
            case "query":
                value = self.query().get("user")
            case "form":
                value = (await self.form()).fields.get("user")
        user = user_text(value, self.operation.user_required, self.spec)
        if user is not None:
            self.host.store.see_user(self.app_id, user, self.host.clock.now())
        return user

    # The response
    # ------------------------------------------------------------------------------------------

    def complete_headers(self, *own: tuple[bytes, bytes]) -> RawHeaders:
        """``own`` headers with those that the app and CORS add."""
        return [*own, *self.known.added]

    def response(
        self, status: int, content_type: bytes, body: bytes, *own: tuple[bytes, bytes]
    ) -> Response:
        """A whole response of the app."""
        return app_response(status, content_type, body, self.known.added, *own)

    def json_response(
        self, value: object, status: int = 200, *own: tuple[bytes, bytes]
    ) -> Response:
        """A JSON response of any operation but a run."""
        return self.response(status, JSON, json_bytes(value, self.spec.http.error_json), *own)

    def error_response(self, error: HostError) -> Response:
        """The response of an error, with what the version adds to errors of its status."""
        return self.known.error_response(error, self.host, self.scope["path"])

    @property
    def connection_closes(self) -> bool:
        """Whether the client's connection is known to be closing."""
        transport = self.scope.get("extensions", {}).get(TRANSPORT)
        return transport is not None and transport.is_closing()

    async def disconnected(self) -> None:
        """Wait until the client has left."""
        while (await self.receive())["type"] != "http.disconnect":
            pass  # of a body that is not read

    async def break_off(self, reset: bool = False) -> None:
        """Close the connection in the middle of the response, or reset it; return when the client
        is gone.

        Raises ``ConnectionResetError`` in process, where there is no connection.
        """
        transport = self.scope.get("extensions", {}).get(TRANSPORT)
        if transport is None:
            raise ConnectionResetError("the response breaks off here")
        self.entry.broken_off = True
        if transport.is_closing():
            pass  # the client has left before
        elif reset:
            transport.get_extra_info("socket").setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE
            )
            transport.abort()
        else:
            transport.close()
        await self.disconnected()


Handler = Callable[[Request], Awaitable[ASGIApp]]
"""Responds to a request of one operation. Raises ``HostError`` to refuse it."""

ENDPOINTS: dict[str, Handler] = {}
"""The endpoints by the id of their operation; their modules enter them."""


def endpoint(operation_id: str) -> Callable[[Handler], Handler]:
    """Enter a function as the endpoint of an operation of the spec."""

    def enter(handler: Handler) -> Handler:
        ENDPOINTS[operation_id] = handler
        return handler

    return enter


# The JSON object of its body
# ------------------------------------------------------------------------------------------
#
# Two parsers are known. The standard library's takes a byte order mark, UTF-16, NaN and lone
# surrogates; what is nested too deep for it crashes the request. The strict one of later versions
# refuses all of these as malformed [C: body_bom, body_utf16, body_surrogate].


def json_object(
    body: bytes, content_type: str, errors: HostErrors, strict: bool = False
) -> dict[str, Any]:
    """The JSON object of a body. Raises ``HostError``: 415 (type), 400 (no JSON) or 500."""
    if not is_json(content_type):
        raise errors("content_type_not_json")
    value = _strictly_parsed(body, errors) if strict else _parsed(body, errors)
    if not isinstance(value, dict):
        raise errors("internal_error")
    return value


@lru_cache(maxsize=64)
def is_json(content_type: str) -> bool:
    """Whether the host reads a body of that type as JSON."""
    media_type = content_type.partition(";")[0].strip().lower()
    return media_type == "application/json" or (
        media_type.startswith("application/") and media_type.endswith("+json")
    )


def _parsed(body: bytes, errors: HostErrors) -> Any:
    try:
        text = body.decode(json.detect_encoding(body), "surrogatepass")
        value = json.loads(text)
    except json.JSONDecodeError as error:
        nested = _deeper(error.doc[: error.pos], _NESTING_LIMIT)
        raise errors("internal_error" if nested else "json_malformed") from None
    except ValueError:
        raise errors("json_malformed") from None
    except RecursionError:
        raise errors("internal_error") from None
    if _deeper(text, _NESTING_LIMIT):
        raise errors("internal_error")
    return value


def _strictly_parsed(body: bytes, errors: HostErrors) -> Any:
    try:
        text = body.decode()
        value = _STRICT.decode(text)
        if _SURROGATE_ESCAPE.search(text):
            json.dumps(value, ensure_ascii=False).encode()  # fails for a surrogate on its own
    except (ValueError, RecursionError):
        raise errors("json_malformed") from None
    if _deeper(text, _STRICT_NESTING_LIMIT):
        raise errors("json_malformed")
    return value


def _integer(digits: str) -> int | float:
    """Integers beyond 64 bits are floats; so is one of more digits than Python converts."""
    if len(digits) <= 20 and int(digits) in _INTEGERS:
        return int(digits)
    return _finite(digits)


def _finite(digits: str) -> float:
    value = float(digits)
    if value in (float("inf"), float("-inf")):
        raise ValueError(f"{digits} is too large")
    return value


def _deeper(text: str, limit: int) -> bool:
    """Whether JSON (or its beginning) is nested in ``limit`` levels or more."""
    if text.count("[") + text.count("{") < limit:
        return False
    outside_strings = "".join(text.replace("\\\\", "").replace('\\"', "").split('"')[::2])
    brackets = re.sub(r"[^\[\]{}]+", "", outside_strings)
    level = 0
    for start in range(0, len(brackets), _BRACKETS):
        steps = map(_STEPS.__getitem__, brackets[start : start + _BRACKETS])
        levels = list(accumulate(steps, initial=level))
        if max(levels) >= limit:
            return True
        level = levels[-1]
    return False


_STRICT = json.JSONDecoder(parse_constant=int, parse_int=_integer, parse_float=_finite, strict=True)
