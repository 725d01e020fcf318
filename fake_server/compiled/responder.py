"""Responds to plain requests of runs from forms, where nothing has to be waited for."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from starlette.types import Scope

from fake_server.bounded import BoundedDict
from fake_server.compiled.compile import Shape, compile_run
from fake_server.compiled.filling import Filler
from fake_server.compiled.playing import FormRun, PlayedRun, with_length
from fake_server.endpoints.workflows import EVENT_STREAM, refusal
from fake_server.host_state import HostState
from fake_server.http.known import KnownRequest, KnownRequests
from fake_server.http.quick import QuickResponse
from fake_server.http.request import is_json
from fake_server.http.responses import RawHeaders, Response
from fake_server.journal.exchanges import AccessLog
from fake_server.runs.run_body import STREAMING
from fake_server.scenarios.behaviour import RUN
from fake_server.scenarios.rules import RuleBook
from fake_server.workflow.model import App, StartVariable

_FIELDS = frozenset({"inputs", "response_mode", "user", "files"})
_TEXTS = ("text-input", "paragraph", "select")
_MODES = ("blocking", STREAMING)
_NO_FILES: tuple[object, ...] = (None, [])

_UNPLAIN = re.compile(r"[\x00{}|\ud800-\udfff]")
"""What is more than text somewhere: in a template, in a model's prompt, in UTF-8."""

_MOST_FORMS = 256


class CompiledRuns:
    """The compiled runs of one host; ``scenarios`` may ask for others."""

    def __init__(
        self, host: HostState, log: AccessLog, known: KnownRequests, scenarios: RuleBook
    ) -> None:
        self.host, self.log, self.known, self.scenarios = host, log, known, scenarios
        self._forms = {id(app): AppForms(host, app) for app in host.apps.values()}

    def responder(self, known: KnownRequest) -> HeadResponder:
        """What responds to runs by their head."""
        spec, app = self.host.spec, known.app
        forms = None
        if (
            app is not None
            and app.workflow is not None
            and not app.workflow.max_active_requests
            and is_json(known.content_type)
            and "getWorkflowRun" not in spec.paths
            and "size" not in spec.fields["File"]
            and spec.stream.json == "spaced"
        ):
            forms = RunResponder(self, self._forms[id(app)], known.added)
        return HeadResponder(self, known, forms)

    @property
    def are_plain(self) -> bool:
        """Whether runs that begin now are as their app has them, and time goes on by itself."""
        host = self.host
        return (
            self.scenarios.empty
            and not host.clock.frozen
            and not host.journal.closed
            and not host.random.counts_elsewhere
        )


class HeadResponder:
    """Responds to the requests of one head: from ``forms`` where that can be, and with the error of
    a request that is refused at once, as the ordinary path would find it.
    """

    def __init__(self, runs: CompiledRuns, known: KnownRequest, forms: RunResponder | None) -> None:
        self._runs, self._known, self._forms = runs, known, forms

    def respond(self, scope: Scope, body: bytes) -> QuickResponse | PlayedRun | Response | None:
        """The response, or None where it takes the ordinary path."""
        runs = self._runs
        began = runs.log.ticks()
        if not runs.are_plain:
            return None
        if self._forms is not None:
            response = self._forms.respond(scope, body)
            if response is not None:
                return response
        if runs.host.store.replica is not None:  # others may know the file that is missing here
            return None
        error = refusal(self._known, body, runs.host)
        if error is None:
            return None
        refused = self._known.error_response(error, runs.host, scope["path"])
        status, headers, sent = refused.status, refused.headers, refused.body
        runs.log.noted(
            scope,
            body,
            operation=RUN,
            status=status,
            headers=headers,
            sent=sent,
            is_stream=False,
            began=began,
        )
        return refused


class AppForms:
    """The forms of the runs of ``app``, each made when it is first needed."""

    def __init__(self, host: HostState, app: App) -> None:
        self.app = app
        self._host = host
        self._fillers: BoundedDict[tuple[bool, Shape], Filler | None] = BoundedDict(_MOST_FORMS)

    def filler(self, streaming: bool, shape: Shape) -> Filler | None:
        """What fills the form of such runs; None where there is none."""
        try:
            return self._fillers[streaming, shape]
        except KeyError:
            form = compile_run(self.app, shape, streaming, self._host.spec)
            filler = None if form is None else Filler(self._host, self.app, form)
            self._fillers[streaming, shape] = filler
            return filler


class RunResponder:
    """Responds to the runs of one app, with the same headers."""

    def __init__(self, runs: CompiledRuns, forms: AppForms, added: RawHeaders) -> None:
        host = runs.host
        assert forms.app.workflow is not None
        self._runs, self._forms = runs, forms
        self._most_characters = host.spec.limits.user_characters
        self._variables = forms.app.workflow.variables
        self._names = frozenset(one.name for one in self._variables)
        run_type = (b"Content-Type", host.spec.http.run_type.encode())
        self._headers = [[content_type, *added] for content_type in (run_type, EVENT_STREAM)]

    def respond(self, scope: Scope, body: bytes) -> QuickResponse | PlayedRun | None:
        """The response, or None where the request is not plain, or its run has no form."""
        began = self._runs.log.ticks()
        plain = self._plain(body)
        if plain is None:
            return None
        streaming, user, inputs, shape = plain
        filler = self._forms.filler(streaming, shape)
        if filler is None:
            return None
        run, headers = filler.filled(user, inputs), self._headers[streaming]
        if self._runs.host.settings.speed is not None:
            entry = self._runs.log.begin(scope)
            entry.request_chunk({"type": "http.request", "body": body})
            entry.operation = RUN
            return PlayedRun(self._runs, filler, run, entry, headers)
        sent = filler.whole(run)
        filler.host.store.runs_ended[filler.mode, filler.form.status] += 1
        noted = headers if streaming else with_length(headers, sent)
        entry = self._runs.log.noted(
            scope,
            body,
            operation=RUN,
            status=200,
            headers=noted,
            sent=sent,
            is_stream=streaming,
            began=began,
        )
        recent = FormRun(filler, run, entry)
        recent.outcome = filler.form.status
        filler.host.store.recent.add(recent)
        return QuickResponse(headers, sent, streaming)

    def _plain(self, body: bytes) -> tuple[bool, str, Mapping[str, Any], Shape] | None:
        """Mode, user and inputs of a request that nothing has to be said against."""
        try:
            message = json.loads(body.decode())
        except (ValueError, RecursionError):
            return None
        if (
            type(message) is not dict
            or not message.keys() <= _FIELDS
            or message.get("files") not in _NO_FILES
        ):
            return None
        inputs, user, mode = (message.get(name) for name in ("inputs", "user", "response_mode"))
        if (
            type(inputs) is not dict
            or not inputs.keys() <= self._names
            or mode not in _MODES
            or type(user) is not str
            or not 0 < len(user) <= self._most_characters
            or _UNPLAIN.search(user)
        ):
            return None
        kinds = []
        for variable in self._variables:
            value = inputs.get(variable.name)
            kind = None if value is None else _kind(variable, value)
            if kind is None and (value is not None or variable.required):
                return None
            kinds.append((variable.name, kind))
        return mode == STREAMING, user, inputs, tuple(kinds)


def _kind(variable: StartVariable, value: Any) -> str | None:
    """What ``value`` is in the shape of its inputs; None for what is not plain."""
    if type(value) is not str or not value or variable.type not in _TEXTS or _UNPLAIN.search(value):
        return None
    if variable.options is not None:
        return f"={value}" if value in variable.options else None
    if variable.max_length and len(value) > variable.max_length:
        return None
    return "ascii" if value.isascii() else "text"
