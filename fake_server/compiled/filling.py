"""Fills forms: the values of one run, and what of it outlives its request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, cast

from fake_server.bounded import BoundedDict
from fake_server.compiled.compile import Part, RunForm, joined
from fake_server.compiled.form import Template, json_text
from fake_server.endpoints.running import SignedUrls
from fake_server.host_state import HostState
from fake_server.runs.engine import with_pings
from fake_server.runs.events import Timeline
from fake_server.runs.playback import Pace
from fake_server.runs.random_values import RandomValues, end_user_id
from fake_server.store import StoredImage
from fake_server.workflow.model import App

PING = -1
"""The number of a ping, where frames have theirs."""

_MOST_ORDERS = 256


class Filled(NamedTuple):
    """One run: a value for each slot of its form."""

    user: str
    inputs: Mapping[str, Any]
    now: float
    random: RandomValues
    values: list[Any]
    urls: SignedUrls


class Filler:
    """Fills the form of an app's runs."""

    def __init__(self, host: HostState, app: App, form: RunForm) -> None:
        self.host, self.app, self.form = host, app, form
        self.mode = "streaming" if form.streaming else "blocking"
        self.pace = Pace(host.settings.speed)
        self.ping = Part(0, Template(host.spec.ping.frame.decode(), ()), ())
        self._ping_rule = host.spec.ping._replace(at_once=False)
        self._empty: list[Any] = [None] * form.slots
        for slot, constant in form.constants:
            self._empty[slot] = constant
        self._wholes: BoundedDict[tuple[int, ...], Part] = BoundedDict(_MOST_ORDERS)

    def filled(self, user: str, inputs: Mapping[str, Any]) -> Filled:
        """A run for ``user`` that begins now."""
        host, form, app_id = self.host, self.form, self.app.app_id
        now = host.clock.now()
        host.store.see_user(app_id, user, now)
        values = self._empty.copy()
        for name, slot in form.texts:
            values[slot] = inputs[name]
        values[form.user], values[form.now] = user, now
        if host.random.seeded:
            known = dict(form.inputs)
            for name, _ in form.texts:
                known[name] = inputs[name]
            random = host.random.for_request(app_id, user, form.streaming, known)
            draws = form.draws
        else:
            random, draws = host.random.for_request(), form.used_draws
        for slot, method, arguments in draws:
            values[slot] = method(random, *arguments)
        for slot, function, left, right in form.steps:
            values[slot] = function(values[left], values[right])
        for image in form.images:
            host.store.images[values[image.file_id]] = StoredImage(image.record(values))
        elapsed_s = values[form.ends]
        started_at = now - max(elapsed_s - self.pace.clock_s(elapsed_s), 0.0)
        host.store.sequence_numbers[app_id] += 1
        values[form.sequence_number] = host.store.sequence_numbers[app_id]
        values[form.started_at] = started_at
        values[form.end_user_id] = end_user_id(app_id, user)
        for slot, function, left, right in form.render_steps:
            values[slot] = function(values[left], values[right])
        for slot in form.escaped:
            values[slot] = json_text(values[slot])
        urls = SignedUrls(host, random, started_at + elapsed_s)
        return Filled(user, inputs, now, random, values, urls)

    def rendered(self, part: Part, run: Filled) -> bytes:
        """``part`` as ``run`` has it, its URLs signed now."""
        values = run.values
        for slot, file_id, extension in part.urls:
            values[slot] = run.urls.tool_file(values[file_id], extension)
        return part.template.filled(values).encode()

    def timeline(self, values: Sequence[Any]) -> Sequence[tuple[float, int]]:
        """When each frame of a stream is due, by its number, and the pings between them."""
        frames = tuple((values[part.at], number) for number, part in enumerate(self.form.parts))
        shown: Any = with_pings(cast(Timeline, frames), self._ping_rule)
        return [(at_s, one if type(one) is int else PING) for at_s, one in shown]

    def whole(self, values: Sequence[Any]) -> Part:
        """All that is sent, as one part."""
        if not self.form.streaming:
            return self.form.parts[0]
        order = tuple([number for _, number in self.timeline(values)])
        try:
            return self._wholes[order]
        except KeyError:
            parts = [self.ping if one == PING else self.form.parts[one] for one in order]
            whole = self._wholes[order] = joined(parts)
            return whole
