"""Builds the fake: settings in, one ASGI app out. All construction happens here, so whatever is
wrong with the settings shows here.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from starlette.types import ASGIApp, Receive, Scope, Send

from fake_server.apps import load_apps
from fake_server.clock import Clock, unix_seconds
from fake_server.commands import Commands
from fake_server.endpoints import Handlers
from fake_server.front_page import FrontPage
from fake_server.host_spec import HostError, HostSpec
from fake_server.host_state import HostState
from fake_server.http.faults import BrokenOffError, FaultySend
from fake_server.http.known import KnownRequests, key_hint
from fake_server.http.nginx import Nginx
from fake_server.http.request import ClientLeftError, Request
from fake_server.http.responses import SCENARIO_HEADER, HostHeaders, NotFoundHints
from fake_server.journal.exchanges import (
    AccessLog,
    BodyTooLargeError,
    Counters,
    Journal,
    redactor_of,
)
from fake_server.runs.random_values import RandomSource
from fake_server.runs.signing import FileSigners
from fake_server.scenarios.behaviour import RUN
from fake_server.scenarios.conditions import facts_of
from fake_server.scenarios.parameters import ScenarioError
from fake_server.scenarios.rules import RuleBook, RuleContext, load_rule_book
from fake_server.settings import MEMORY, Settings
from fake_server.shared.log import Log, LogError
from fake_server.spec import load_host
from fake_server.store import Store
from fake_server.workflow.model import App

if TYPE_CHECKING:
    from fake_server.compiled.responder import CompiledRuns
    from fake_server.http.quick import QuickResponder
    from fake_server.replay import Replay

log = logging.getLogger("fake_server")

ADMIN_PREFIX = "/__admin/"
"""Paths of the fake's own, which no host has."""


def create_app(settings: Settings | None = None, clock: Clock | None = None) -> FakeServer:
    """The fake as an ASGI app. Raises ``SettingsError`` or ``SpecError``."""
    settings = settings or Settings()
    if settings.contract_report is not None:
        from fake_server.contract_report import read_report

        read_report(settings.contract_report)
    spec = load_host(settings.host_version, settings.spec, settings.overlays)
    clock = clock or Clock(
        starts_at=None if settings.clock is None else unix_seconds(settings.clock)
    )
    apps = load_apps(settings.api_keys, settings.apps, settings.workflow, spec)
    store, journal = _storage(settings, clock)
    host = HostState(
        settings=settings,
        spec=spec,
        apps=apps,
        clock=clock,
        random=RandomSource(settings.seed),
        signers=FileSigners(settings.secret_key, spec.limits.url_lifetime_s),
        store=store,
        headers=HostHeaders(spec),
        hints=NotFoundHints(spec),
        journal=journal,
        counters=Counters(),
    )
    store.know(host)
    rules = load_rule_book(settings.scenarios, _rule_context(spec, apps), settings.seed)
    return FakeServer(host, rules)


def _storage(settings: Settings, clock: Clock) -> tuple[Store, Journal]:
    """The store of ``--store``, and its journal. Raises ``SettingsError``."""
    if settings.store == MEMORY:
        return Store(), Journal(clock)
    from fake_server.shared.journal import SharedJournal
    from fake_server.shared.store import SharedStore

    journal = SharedJournal(clock)
    shared: Log
    if settings.store.startswith("sqlite:"):
        from fake_server.shared.sqlite import SqliteLog

        shared = SqliteLog(settings.store)
    else:
        from fake_server.shared.redis import RedisLog

        shared = RedisLog(settings.store)
    return SharedStore(shared, journal), journal


def _rule_context(spec: HostSpec, apps: Mapping[str, App]) -> RuleContext:
    """What rules can name here."""
    workflows = [app.workflow for app in apps.values() if app.workflow is not None]
    nodes = [node for workflow in workflows for node in workflow.nodes.values()]
    names = frozenset(name for node in nodes for name in (node.node_id, node.title, node.type))
    return RuleContext(tuple(operation.operation_id for operation in spec.operations), names)


class FakeServer:
    """The whole server as an ASGI app: nginx, routing, scenarios, endpoints; and the admin API."""

    def __init__(self, host: HostState, scenarios: RuleBook) -> None:
        self.host = host
        self.spec = host.spec
        self.clock = host.clock
        self.scenarios = scenarios
        redactor = partial(redactor_of, host.settings)
        hint = partial(key_hint, apps=host.apps, spec=host.spec)
        self.access_log = AccessLog(host.journal, host.counters, redactor, hint)
        self._nginx = Nginx(host.spec, FrontPage(host))
        self.known = KnownRequests(host.spec, host.apps, host.headers, self._nginx)
        self._handlers = Handlers(host.spec, host.settings)
        self._replay: Replay | None = None
        if host.settings.replay is not None:
            from fake_server.replay import load_replay

            self._replay = load_replay(host.settings, host.spec)
        self.commands = Commands(host, scenarios, self.reset)
        self._admin: ASGIApp | None = None
        self._compiled: CompiledRuns | None = None

    @property
    def warnings(self) -> Sequence[str]:
        """What may be wrong with what is replayed."""
        return self._replay.warnings if self._replay else ()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "http" and f"{scope['path']}/".startswith(ADMIN_PREFIX):
            if self._admin is None:
                from fake_server.admin import admin_app

                self._admin = admin_app(
                    self.host,
                    self.scenarios,
                    self.commands,
                    self,
                    replay=self._replay,
                    create_app=create_app,
                )
            await self._admin(scope, receive, send)
        elif scope["type"] == "http":
            known = self.known.of(scope)
            with Request(self.host, self.access_log, scope, receive, send, known=known) as request:
                try:
                    response = known.refusal or await self.app_response(request)
                    is_faulty = request.effects.body_filters
                    send = FaultySend(request) if is_faulty else request.send
                    await response(scope, request.receive, send)
                except (ClientLeftError, BrokenOffError):
                    pass
                except BodyTooLargeError:
                    page = self._nginx.page(413, close=True)
                    await page(scope, request.receive, request.send)

    async def begin(self) -> None:
        """Be as the servers are that share the store. Raises ``LogError``."""
        replica = self.host.store.replica
        if replica is not None:
            self.host.random.begin()
            from fake_server.shared.replica import Performer

            commands = self.commands
            self.host.random.count = self.scenarios.count = replica.count
            self.scenarios.note = lambda rule_id, matched: replica.note(("rule", rule_id, matched))
            replica.receivers["rule"] = self.scenarios.noted
            await replica.start(Performer(commands.perform, commands.snapshot, commands.restore))

    async def leave(self) -> None:
        """Write for the others what is still to be written."""
        if self.host.store.replica is not None:
            await self.host.store.replica.stop()

    def end_runs(self) -> None:
        """End every run, and any that still begins: the server is going down."""
        self.host.store.end_tasks()
        self.host.clock.end_waits()
        self.host.journal.close()
        if self._replay:
            self._replay.end()

    def close(self) -> None:
        """Write what is still to be written: the server is down."""
        if self._replay:
            self._replay.close()

    def reset(self, seed: int | None = None) -> None:
        """Be as at the start, with ``seed`` (None: the settings' own), from any thread."""
        seed = self.host.settings.seed if seed is None else seed
        self.host.reset(seed)
        self.scenarios.reset(seed)

    def quick_responder(self, scope: Scope) -> QuickResponder | None:
        """What responds to requests with the head of ``scope``: runs from compiled forms, and their
        errors. None where that needs the ordinary path. It depends on method, target, version and
        headers alone.
        """
        known = self.known.of(scope)
        if known.responder is not None:
            return known.responder
        if (
            self._replay is not None
            or known.refusal is not None
            or known.operation is None
            or known.operation.operation_id != RUN
            or SCENARIO_HEADER in known.headers
        ):
            return None
        if self._compiled is None:
            from fake_server.compiled.responder import CompiledRuns

            self._compiled = CompiledRuns(self.host, self.access_log, self.known, self.scenarios)
        known.responder = self._compiled.responder(known)
        return known.responder

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            begins = message["type"] == "lifespan.startup"
            await (self.begin() if begins else self.leave())
            await send({"type": f"{message['type']}.complete"})
            if not begins:
                return

    async def app_response(self, request: Request) -> ASGIApp:
        """The response of the app behind nginx and gunicorn."""
        operation = request.known.operation
        if operation is None:
            assert request.known.unrouted is not None
            return request.known.unrouted
        request.operation, request.parameters = operation, request.known.parameters
        request.entry.operation = operation_id = operation.operation_id
        handler = self._handlers[operation_id]
        try:
            response = None
            if not self.scenarios.empty or SCENARIO_HEADER in request.known.headers:
                response = await _apply_scenarios(self.scenarios, request)
            if response is None and self._replay:
                response = await self._replay.response(request)
            return response or await handler(request)
        except HostError as error:
            return request.error_response(error)
        except (BodyTooLargeError, ClientLeftError):
            raise
        except LogError:  # logged once, when it began
            return request.error_response(request.spec.errors("internal_error"))
        except ValueError as error:  # the host blames the request for what Python cannot convert
            return request.error_response(request.spec.errors("value_error", message=error))
        except Exception:
            log.exception("%s failed; this is a mistake in the fake", operation_id)
            return request.error_response(request.spec.errors("internal_error"))


async def _apply_scenarios(scenarios: RuleBook, request: Request) -> ASGIApp | None:
    """Give ``request`` the effects of its scenarios; the response where one responds itself."""
    host, operation = request.host, request.operation.operation_id
    body = {}
    if operation == RUN and not scenarios.empty:
        with contextlib.suppress(HostError):  # which the host raises itself, in its own order
            request.app()
            body = await request.json()
    try:
        match = await scenarios.match_once(
            facts_of(operation, request.headers, body), request.known.headers.get(SCENARIO_HEADER)
        )
    except ScenarioError as error:
        # Not in the host's form: a misspelt scenario must not look like an error of Dify.
        message = (
            "This is the fake speaking, not Dify. Its header X-Fake-Scenario cannot be used: "
            f"{error}"
        )
        return request.json_response(
            {"code": "fake_scenario_invalid", "message": message, "status": 400}, 400
        )
    if match is None:
        return None
    effects = request.effects = match.effects
    request.entry.scenarios = match.names
    if host.settings.speed is None and effects.instant_notes:
        request.entry.notes = effects.instant_notes
    responders = effects.early_responses
    if operation != RUN:
        responders += effects.responses
    for respond in responders:
        response = respond(request)
        if response is not None:
            return response
    return None
