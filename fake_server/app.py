"""Builds the fake: settings in, one ASGI app out. All construction happens here, and whatever is
wrong shows here.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import quote

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dify_wire.spec import SpecError, bundled
from fake_server.apps import App, load_apps
from fake_server.clock import Clock
from fake_server.endpoints import HANDLERS, Call, Handler, Host, refuse
from fake_server.endpoints.scenario_effects import befall, is_spared
from fake_server.http import error_pages, gunicorn
from fake_server.http.errors import HostError
from fake_server.http.faults import BrokenOffError, TroubledSend
from fake_server.http.nginx import BodyTooLargeError, Front, page_headers
from fake_server.http.observer import Observer
from fake_server.http.request_body import ClientLeftError
from fake_server.http.responses import (
    HTML,
    Answer,
    HostHeaders,
    ProxyPage,
    RawHeaders,
    refusal,
    send_whole,
)
from fake_server.http.routing import Breaking, Match, OtherMethod, Redirect, Router, Unknown
from fake_server.http.scope import OPERATION
from fake_server.journal import Journal
from fake_server.journal.counters import Counters
from fake_server.journal.reading import redactor_of
from fake_server.reset import reset
from fake_server.runs.random_values import DrawSource
from fake_server.runs.signing import FileSigners
from fake_server.scenarios.load import rule_book
from fake_server.scenarios.rules import Surroundings
from fake_server.settings import Settings
from fake_server.spec import HostSpec, Operation, load_host
from fake_server.store import Store
from fake_server.timestamps import unix_seconds
from fake_server.waiting import end_waits

if TYPE_CHECKING:
    from fake_server.replay import Replay

log = logging.getLogger("fake_server")

ADMIN_PREFIX = "/__admin/"
"""Paths of the fake's own, which no host has."""


def create_app(settings: Settings | None = None, clock: Clock | None = None) -> FakeServer:
    """The fake as an ASGI app. Raises ``SettingsError`` or ``dify_wire.spec.SpecError`` for what
    cannot be used.
    """
    settings = settings or Settings()
    spec = load_host(settings.host_version, settings.spec, settings.overlays)
    clock = clock or Clock(
        starts_at=None if settings.clock is None else unix_seconds(settings.clock)
    )
    apps = load_apps(settings.api_keys, settings.apps, settings.workflow, spec.inputs)
    host = Host(
        settings=settings,
        spec=spec,
        apps=apps,
        clock=clock,
        draws=DrawSource(settings.seed),
        signers=FileSigners(settings.secret_key, spec.limits.url_lifetime_s),
        store=Store(),
        headers=HostHeaders(spec),
        scenarios=rule_book(settings.scenarios, _surroundings(spec, apps), settings.seed),
        journal=Journal(clock),
        counters=Counters(),
        replay=_replay(settings, spec),
    )
    return FakeServer(host, _handlers(settings, spec))


def _surroundings(spec: HostSpec, apps: Mapping[str, App]) -> Surroundings:
    """What rules can speak of here."""
    workflows = [app.workflow for app in apps.values() if app.workflow is not None]
    nodes = [node for workflow in workflows for node in workflow.nodes.values()]
    names = frozenset(name for node in nodes for name in (node.node_id, node.title, node.type))
    return Surroundings(tuple(operation.operation_id for operation in spec.operations), names)


def _replay(settings: Settings, spec: HostSpec) -> Replay | None:
    if settings.replay is None:
        return None
    from fake_server.replay import load_replay

    return load_replay(settings, spec)


def _handlers(settings: Settings, spec: HostSpec) -> Mapping[str, Handler]:
    """The handler of each operation of the spec; an operation that nothing here can answer is a
    mistake in the spec.
    """
    return {
        operation.operation_id: _handler(operation, settings, spec) for operation in spec.operations
    }


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
    """The whole server as an ASGI app: admin API; observer, proxy, routing, operation."""

    def __init__(self, host: Host, handlers: Mapping[str, Handler]) -> None:
        self.host = host
        self._handlers = handlers
        self._router = Router(host.spec.operations)
        front = Front(self._dispatch, host.spec)
        self._app: ASGIApp = Observer(
            front, host.journal, host.counters, redactor_of(host.settings)
        )
        self._admin: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
        elif scope["type"] == "http":
            app = self._admin_app() if f"{scope['path']}/".startswith(ADMIN_PREFIX) else self._app
            await app(scope, receive, send)

    def end_runs(self) -> None:
        """End every run that is being played, and any that still begins: the server is going
        down.
        """
        self.host.store.end_tasks()
        end_waits(self.host.clock)
        self.host.journal.close()
        if self.host.replay:
            self.host.replay.end()

    def close(self) -> None:
        """Have everything written that is still to be written: the server is down."""
        if self.host.replay:
            self.host.replay.close()

    def reset(self, seed: int | None = None) -> None:
        """Be as at the start, with ``seed`` (None: the settings' own): clock, scenarios, state,
        journal, draws.

        Runs that are being played are ended. From any thread, while no request is on its way.
        """
        reset(self.host, seed)

    def _admin_app(self) -> ASGIApp:
        if self._admin is None:
            from fake_server.admin import admin_app

            self._admin = admin_app(self.host)
        return self._admin

    async def _dispatch(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = _joined(scope["headers"])
        match self._router.route(scope["method"], scope["path"]):
            case Match(operation, parameters):
                scope[OPERATION] = operation.operation_id
                call = Call(self.host, operation, parameters, scope, receive, headers)
                answer = await self._operate(call)
                if call.effects.pieces:
                    await self._send_troubled(answer, call, send)
                    return
            case OtherMethod(allow):
                answer = self._other_method(scope["method"], allow, headers)
            case Redirect(path):
                answer = _redirect(path, scope["query_string"], headers)
            case Breaking():
                await self._send(gunicorn.BROKEN, headers, scope, receive, send)
                return
            case Unknown():
                answer = Answer(404, HTML, error_pages.NOT_FOUND, shared=False)
        await self._send(answer, headers, scope, receive, send)

    async def _send(
        self,
        answer: Answer | ProxyPage | ASGIApp,
        headers: Mapping[bytes, bytes],
        *asgi: *tuple[Scope, Receive, Send],
    ) -> None:
        send = asgi[-1]
        if isinstance(answer, ProxyPage):
            await send_whole(send, answer.status, page_headers(answer), answer.body, answer.reason)
        elif isinstance(answer, Answer):
            await send_whole(send, answer.status, self._complete(answer, headers), answer.body)
        else:
            await answer(*asgi)

    async def _send_troubled(
        self, answer: Answer | ProxyPage | ASGIApp, call: Call, send: Send
    ) -> None:
        makers = [make() for make in call.effects.pieces]
        host = self.host
        troubled = TroubledSend(
            makers, (call.scope, call.receive, send), host.clock, host.settings.speed
        )
        with contextlib.suppress(BrokenOffError):
            await self._send(answer, call.request_headers, call.scope, call.receive, troubled)

    def _complete(self, answer: Answer, request_headers: Mapping[bytes, bytes]) -> RawHeaders:
        length = str(len(answer.body)).encode()
        own = [(b"Content-Type", answer.content_type), (b"Content-Length", length), *answer.headers]
        return self.host.headers.complete(own, request_headers, answer.shared, answer.granted)

    async def _operate(self, call: Call) -> Answer | ProxyPage | ASGIApp:
        try:
            if not is_spared(call) and (answer := await befall(call)) is not None:
                return answer
            handler = self._handlers[call.operation.operation_id]
            return await (
                self.host.replay.answer(call, handler) if self.host.replay else handler(call)
            )
        except HostError as error:
            return refusal(error)
        except (BodyTooLargeError, ClientLeftError):
            raise  # the proxy's to answer, or nobody's
        except (
            ValueError
        ) as error:  # the host's own rule: what Python cannot convert is the request's fault
            return refusal(self.host.spec.errors("value_error", message=error))
        except Exception:
            log.exception("%s failed; this is a mistake in the fake", call.operation.operation_id)
            return refusal(self.host.spec.errors("internal_error"))

    def _other_method(self, method: str, allow: str, headers: Mapping[bytes, bytes]) -> Answer:
        allowed = (b"Allow", allow.encode())
        if method == "OPTIONS":
            return Answer(200, HTML, b"", (allowed,), granted=self.host.headers.preflight(headers))
        error = self.host.spec.errors("method_not_allowed")
        return Answer(
            error.status, b"application/json", refusal(error).body, (allowed,), shared=False
        )


def _joined(pairs: RawHeaders) -> dict[bytes, bytes]:
    """The headers as gunicorn hands them on: lines of one name joined with a comma, but the last
    Content-Type alone.
    """
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
    return Answer(
        308,
        HTML,
        error_pages.redirect(location),
        ((b"Location", location.encode("latin-1")),),
        shared=False,
    )


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message: Message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
