"""Builds the fake: settings in, one ASGI app out. All construction happens here, and whatever is wrong shows here."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from urllib.parse import quote

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fake_server.access_log import AccessLog
from fake_server.apps import load_apps
from fake_server.clock import Clock
from fake_server.draw import DrawSource
from fake_server.edge import pages
from fake_server.edge.answers import HTML, Answer, HostHeaders, ProxyPage, RawHeaders, refusal, send_whole
from fake_server.edge.front import BodyTooLargeError, Front, page_headers
from fake_server.edge.routing import Match, OtherMethod, Redirect, Router, Unknown
from fake_server.errors import HostError
from fake_server.operations import HANDLERS, Call, Handler, Host, refuse
from fake_server.settings import Settings
from fake_server.signing import FileSigners
from fake_server.spec import HostSpec, Operation, load_host
from fake_server.store import Store
from wire.spec import SpecError, bundled

log = logging.getLogger("fake_server")


def create_app(settings: Settings | None = None, clock: Clock | None = None) -> FakeServer:
    """The fake as an ASGI app. Raises ``SettingsError`` or ``wire.spec.SpecError`` for what cannot be used."""
    settings = settings or Settings()
    spec = load_host(settings.host_version, settings.spec, settings.overlays)
    host = Host(
        settings=settings,
        spec=spec,
        apps=load_apps(settings.api_keys, settings.apps, settings.workflow, spec.inputs),
        clock=clock or Clock(),
        draws=DrawSource(settings.seed),
        signers=FileSigners(settings.secret_key, spec.limits.url_lifetime_s),
        store=Store(),
        headers=HostHeaders(spec),
    )
    return FakeServer(host, _handlers(settings, spec))


def _handlers(settings: Settings, spec: HostSpec) -> Mapping[str, Handler]:
    """The handler of each operation of the spec; an operation that nothing here can answer is a mistake in the spec."""
    return {operation.operation_id: _handler(operation, settings, spec) for operation in spec.operations}


def _handler(operation: Operation, settings: Settings, spec: HostSpec) -> Handler:
    if operation.operation_id in HANDLERS:
        return HANDLERS[operation.operation_id]
    if operation.refusal is not None and operation.refusal in spec.errors.names:
        return refuse
    raise SpecError(
        settings.spec or bundled("openapi.yaml"),
        f"paths.{operation.path}.{operation.method.lower()}",
        f"the fake cannot answer {operation.operation_id!r}; take the operation out, or let it refuse with x-refusal",
    )


class FakeServer:
    """The whole server as an ASGI app: access log, proxy, routing, operation."""

    def __init__(self, host: Host, handlers: Mapping[str, Handler]) -> None:
        self.host = host
        self._handlers = handlers
        self._router = Router(host.spec.operations)
        self._app: ASGIApp = AccessLog(Front(self._dispatch, host.spec))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
        elif scope["type"] == "http":
            await self._app(scope, receive, send)

    def end_runs(self) -> None:
        """End every run that is being played, and any that still begins: the server is going down."""
        self.host.store.end_tasks()

    async def _dispatch(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = _joined(scope["headers"])
        answer = await self._answer(scope, receive, headers)
        if isinstance(answer, ProxyPage):
            await send_whole(send, answer.status, page_headers(answer), answer.body)
        elif isinstance(answer, Answer):
            await send_whole(send, answer.status, self._complete(answer, headers), answer.body)
        else:
            await answer(scope, receive, send)

    def _complete(self, answer: Answer, request_headers: Mapping[bytes, bytes]) -> RawHeaders:
        length = str(len(answer.body)).encode()
        own = [(b"Content-Type", answer.content_type), (b"Content-Length", length), *answer.headers]
        return self.host.headers.complete(own, request_headers, answer.shared, answer.granted)

    async def _answer(
        self, scope: Scope, receive: Receive, headers: Mapping[bytes, bytes]
    ) -> Answer | ProxyPage | ASGIApp:
        match self._router.route(scope["method"], scope["path"]):
            case Match(operation, parameters):
                scope["operation_id"] = operation.operation_id
                return await self._operate(Call(self.host, operation, parameters, scope, receive, headers))
            case OtherMethod(allow):
                return self._other_method(scope["method"], allow, headers)
            case Redirect(path):
                return _redirect(path, scope["query_string"], headers)
            case Unknown():
                return Answer(404, HTML, pages.NOT_FOUND, shared=False)

    async def _operate(self, call: Call) -> Answer | ProxyPage | ASGIApp:
        try:
            return await self._handlers[call.operation.operation_id](call)
        except HostError as error:
            return refusal(error)
        except (BodyTooLargeError, ClientDisconnect):
            raise  # the proxy's to answer, or nobody's
        except ValueError as error:  # the host's own rule: what Python cannot convert is the request's fault
            return refusal(self.host.spec.errors("value_error", message=error))
        except Exception:
            log.exception("%s failed; this is a mistake in the fake", call.operation.operation_id)
            return refusal(self.host.spec.errors("internal_error"))

    def _other_method(self, method: str, allow: str, headers: Mapping[bytes, bytes]) -> Answer:
        allowed = (b"Allow", allow.encode())
        if method == "OPTIONS":
            return Answer(200, HTML, b"", (allowed,), granted=self.host.headers.preflight(headers))
        error = self.host.spec.errors("method_not_allowed")
        return Answer(error.status, b"application/json", refusal(error).body, (allowed,), shared=False)


def _joined(pairs: RawHeaders) -> dict[bytes, bytes]:
    """The headers as gunicorn hands them on: lines of one name joined with a comma, but the last Content-Type alone."""
    headers: dict[bytes, bytes] = {}
    for name, value in pairs:
        known = None if name == b"content-type" else headers.get(name)
        headers[name] = value if known is None else b"%b,%b" % (known, value)
    return headers


def _redirect(path: str, query: bytes, headers: Mapping[bytes, bytes]) -> Answer:
    """To the same host without its port: the proxy does not pass the port on (FACTS 2)."""
    host = headers.get(b"host", b"_").decode("latin-1").lower()
    name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
    shown = quote(path, safe="!$&'()*+,/:;=@")
    location = f"http://{name}{shown}" + (f"?{query.decode('latin-1')}" if query else "")
    return Answer(308, HTML, pages.redirect(location), ((b"Location", location.encode("latin-1")),), shared=False)


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message: Message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
