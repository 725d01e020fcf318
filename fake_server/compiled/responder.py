"""Responds to plain requests of runs from forms, where nothing has to be waited for."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from typing import Any, cast

from starlette.types import Scope

from fake_server.bounded import BoundedDict
from fake_server.compiled.compile import Part, RunForm, Shape, compile_run, joined
from fake_server.compiled.form import Template, json_text
from fake_server.endpoints.running import SignedUrls
from fake_server.endpoints.workflows import EVENT_STREAM
from fake_server.host_state import HostState
from fake_server.http.quick import QuickResponse
from fake_server.http.responses import RawHeaders
from fake_server.journal.exchanges import AccessLog
from fake_server.runs.engine import with_pings
from fake_server.runs.events import Timeline
from fake_server.runs.playback import Pace
from fake_server.runs.random_values import end_user_id
from fake_server.runs.run_body import STREAMING
from fake_server.scenarios.behaviour import RUN
from fake_server.scenarios.rules import RuleBook
from fake_server.store import StoredImage
from fake_server.workflow.model import App, StartVariable

_FIELDS = frozenset({"inputs", "response_mode", "user", "files"})
_TEXTS = ("text-input", "paragraph", "select")
_MODES = ("blocking", STREAMING)

_UNPLAIN = re.compile(r"^\s|[\x00{}|\ud800-\udfff]|\s$")
"""What is more than text somewhere: in a template, in a model's prompt, in UTF-8."""

_MOST_FORMS = 256
_PING = -1
"""The number of a ping, where frames have theirs."""


class CompiledRuns:
    """The compiled runs of one host; ``scenarios`` may ask for others."""

    def __init__(self, host: HostState, log: AccessLog, scenarios: RuleBook) -> None:
        self.host, self.log, self.scenarios = host, log, scenarios
        self._forms = {id(app): AppForms(host, app) for app in host.apps.values()}

    def responder(self, app: App, added: RawHeaders) -> RunResponder | None:
        """What responds to runs of ``app``, where anything can; ``added`` are the headers that
        follow a response's own.
        """
        host, spec = self.host, self.host.spec
        if (
            host.settings.speed is not None
            or app.workflow is None
            or app.workflow.max_active_requests
            or "getWorkflowRun" in spec.paths
            or "size" in spec.fields["File"]
            or spec.stream.json != "spaced"
        ):
            return None
        return RunResponder(self, self._forms[id(app)], added)


class AppForms:
    """The forms of the runs of ``app``, each made when it is first needed."""

    def __init__(self, host: HostState, app: App) -> None:
        self.app = app
        self._host = host
        self._fillers: BoundedDict[tuple[bool, Shape], _Filler | None] = BoundedDict(_MOST_FORMS)

    def filler(self, streaming: bool, shape: Shape) -> _Filler | None:
        """What fills the form of such runs; None where there is none."""
        try:
            return self._fillers[streaming, shape]
        except KeyError:
            form = compile_run(self.app, shape, streaming, self._host.spec)
            filler = None if form is None else _Filler(self._host, self.app, form)
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

    def respond(self, scope: Scope, body: bytes) -> QuickResponse | None:
        """The response, or None where the request is not plain, or its run has no form."""
        began = time.perf_counter()
        plain = self._plain(body) if self._runs.scenarios.empty else None
        if plain is None:
            return None
        streaming, user, inputs, shape = plain
        filler = self._forms.filler(streaming, shape)
        if filler is None:
            return None
        sent = filler.filled(user, inputs)
        headers = self._headers[streaming]
        noted = headers
        if not streaming:
            noted = [headers[0], (b"Content-Length", b"%d" % len(sent)), *headers[1:]]
        self._runs.log.noted(
            scope, body, operation=RUN, status=200, headers=noted, sent=sent, began=began
        )
        return QuickResponse(headers, sent, streaming)

    def _plain(self, body: bytes) -> tuple[bool, str, Mapping[str, Any], Shape] | None:
        """Mode, user and inputs of a request that nothing has to be said against."""
        try:
            message = json.loads(body.decode())
        except (ValueError, RecursionError):
            return None
        if type(message) is not dict or not message.keys() <= _FIELDS or message.get("files"):
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


class _Filler:
    """Fills one form, and keeps of a run what outlives its request."""

    def __init__(self, host: HostState, app: App, form: RunForm) -> None:
        self._host, self._app, self._form = host, app, form
        self._mode = STREAMING if form.streaming else "blocking"
        self._empty: list[Any] = [None] * form.slots
        for slot, constant in form.constants:
            self._empty[slot] = constant
        self._pace = Pace(host.settings.speed)
        self._ping = host.spec.ping._replace(at_once=False)
        self._wholes: BoundedDict[tuple[int, ...], Part] = BoundedDict(_MOST_FORMS)

    def filled(self, user: str, inputs: Mapping[str, Any]) -> bytes:
        """The body of the response."""
        host, form, app_id = self._host, self._form, self._app.app_id
        now = host.clock.now()
        host.store.see_user(app_id, user, now)
        values = self._empty.copy()
        for name, slot in form.texts:
            values[slot] = inputs[name]
        values[form.user], values[form.now] = user, now
        random, draws = host.random.for_request(), form.used_draws
        if host.random.seeded:
            known = dict(form.inputs)
            for name, _ in form.texts:
                known[name] = inputs[name]
            random = host.random.for_request(app_id, user, form.streaming, known)
            draws = form.draws
        for slot, method, arguments in draws:
            values[slot] = method(random, *arguments)
        for slot, function, left, right in form.steps:
            values[slot] = function(values[left], values[right])
        for image in form.images:
            host.store.images[values[image.file_id]] = StoredImage(image.record(values))
        elapsed_s = values[form.ends]
        started_at = now - max(elapsed_s - self._pace.clock_s(elapsed_s), 0.0)
        host.store.sequence_numbers[app_id] += 1
        values[form.sequence_number] = host.store.sequence_numbers[app_id]
        values[form.started_at] = started_at
        values[form.end_user_id] = end_user_id(app_id, user)
        for slot, function, left, right in form.render_steps:
            values[slot] = function(values[left], values[right])
        for slot in form.escaped:
            values[slot] = json_text(values[slot])
        whole = self._whole(values) if form.streaming else form.parts[0]
        urls = SignedUrls(host, random, started_at + elapsed_s)
        for slot, file_id, extension in whole.urls:
            values[slot] = urls.tool_file(values[file_id], extension)
        host.store.runs_ended[self._mode, form.status] += 1
        return whole.template.filled(values).encode()

    def _whole(self, values: list[Any]) -> Part:
        """All frames as one, with the pings between them."""
        frames = tuple((values[part.at], number) for number, part in enumerate(self._form.parts))
        shown: Any = with_pings(cast(Timeline, frames), self._ping)
        order = tuple(entry if type(entry) is int else _PING for _, entry in shown)
        try:
            return self._wholes[order]
        except KeyError:
            ping = Part(0, Template(self._ping.frame.decode(), ()), ())
            whole = joined([ping if one == _PING else self._form.parts[one] for one in order])
            self._wholes[order] = whole
            return whole
