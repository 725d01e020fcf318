"""One request on its way through an operation, and the server that it meets."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from starlette.types import ASGIApp, Receive, Scope

from fake_server.apps import App
from fake_server.clock import Clock
from fake_server.http import request_body
from fake_server.http.auth import authorised_app
from fake_server.http.errors import HostError
from fake_server.http.responses import Answer, HostHeaders, ProxyPage
from fake_server.journal import Journal
from fake_server.journal.counters import Counters
from fake_server.runs.random_values import DrawSource, uuid4_for
from fake_server.runs.request import json_object, user_text
from fake_server.runs.signing import FileSigners
from fake_server.scenarios import NO_EFFECTS, Effects, RuleBook
from fake_server.settings import Settings
from fake_server.spec import HostSpec, Operation
from fake_server.store import Store

if TYPE_CHECKING:
    from fake_server.endpoints.form import Form
    from fake_server.replay import Replay


@dataclass(frozen=True, slots=True)
class Host:
    """Everything that the requests of one server share."""

    settings: Settings
    spec: HostSpec
    apps: Mapping[str, App]
    clock: Clock
    draws: DrawSource
    signers: FileSigners
    store: Store
    headers: HostHeaders
    scenarios: RuleBook
    journal: Journal
    counters: Counters
    replay: Replay | None = None

    @property
    def tenant_id(self) -> str:
        return uuid4_for("tenant")

    def end_user_id(self, app: App, user: str) -> str:
        """Always the same for the same app and user (FACTS 5.5)."""
        return uuid4_for("end-user", app.app_id, user)


@dataclass(slots=True)
class Call:
    """A request that has found its operation."""

    host: Host
    operation: Operation
    parameters: Mapping[str, str]
    scope: Scope
    receive: Receive
    request_headers: Mapping[bytes, bytes]
    effects: Effects = NO_EFFECTS
    _read: bytes | None = None
    _json: dict[str, object] | None = None
    _form: Form | None = None

    def app(self) -> App:
        """The app behind the request's key. Raises ``HostError``."""
        return authorised_app(
            self.request_headers.get(b"authorization"), self.host.apps, self.host.spec.errors
        )

    @property
    def origin(self) -> str:
        """The address to which the client sent the request: scheme, and Host header or the socket's
        own address.
        """
        name, port = self.scope.get("server") or ("127.0.0.1", self.host.settings.port)
        authority = self.request_headers.get(b"host", b"").decode("latin-1") or f"{name}:{port}"
        return f"{self.scope.get('scheme', 'http')}://{authority}"

    def query(self) -> dict[str, str]:
        """The parameters of the query; of a name that is given twice the first counts (FACTS
        6.2).
        """
        pairs = parse_qsl(self.scope["query_string"].decode("latin-1"), keep_blank_values=True)
        return dict(reversed(pairs))

    async def json(self) -> dict[str, object]:
        """The request's JSON object. Raises ``HostError``."""
        if self._json is None:
            content_type = self.request_headers.get(b"content-type", b"").decode("latin-1")
            self._json = json_object(await self._body(), content_type, self.host.spec.errors)
        return self._json

    async def json_if_any(self) -> dict[str, object]:
        """The request's JSON object; an empty one where the host would refuse it, or would not read
        it for its key.
        """
        try:
            self.app()
            return await self.json()
        except HostError:
            return {}

    async def form(self) -> Form:
        """The request's form; an empty one where its body is none. Raises ``HostError``."""
        if self._form is None:
            from fake_server.endpoints.form import FormTooLargeError, read_form

            content_type = self.request_headers.get(b"content-type", b"").decode("latin-1")
            try:
                self._form = await read_form(request_body.chunks(self.receive), content_type)
            except FormTooLargeError:
                raise self.host.spec.errors("form_too_large") from None
        return self._form

    async def _body(self) -> bytes:
        if self._read is None:
            self._read = await request_body.whole(self.receive)
        return self._read

    async def user(self) -> str | None:
        """The user, looked for where the operation's entry in the spec says. Raises
        ``HostError``.
        """
        value: object = None
        match self.operation.user_in:
            case "json":
                value = (await self.json()).get("user")
            case "query":
                value = self.query().get("user")
            case "form":
                value = (await self.form()).fields.get("user")
        return user_text(value, self.operation.user_required, self.host.spec)


Handler = Callable[[Call], Awaitable[Answer | ProxyPage | ASGIApp]]
"""Answers a call; an ASGI app where the answer is not a whole one. Raises ``HostError`` to
refuse.
"""
