"""Fills forms: the values of one run, and what of it outlives its request."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, cast

from fake_server.bounded import BoundedDict
from fake_server.compiled.compile import Part, RunForm, Url, joined
from fake_server.compiled.form import Template, json_text
from fake_server.endpoints.running import SignedUrls
from fake_server.host_state import HostState
from fake_server.images import ImageRecord
from fake_server.runs.engine import with_pings
from fake_server.runs.events import Timeline
from fake_server.runs.playback import Pace
from fake_server.runs.random_values import RandomValues, end_user_id
from fake_server.store import StoredImage
from fake_server.workflow.model import App
from fake_server.workflow.nodes.kind import RECORD_CHARACTERS

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


class Written(NamedTuple):
    """A part of a response, ready to be filled: ``write`` after each of its ``urls`` is signed."""

    urls: tuple[Url, ...]
    write: Callable[[Sequence[Any]], str]


class Filler:
    """Fills the form of an app's runs."""

    def __init__(self, host: HostState, app: App, form: RunForm) -> None:
        self.host, self.app, self.form = host, app, form
        self.mode = "streaming" if form.streaming else "blocking"
        self.pace = Pace(host.settings.speed)
        self.ping = Part(0, Template(host.spec.ping.frame.decode(), ()), ())
        self._parts = [_written(part) for part in form.parts]
        self._ping = _written(self.ping)
        self._images = [(one, [text.writer() for text in one.texts]) for one in form.images]
        self._ping_rule = host.spec.ping._replace(at_once=False)
        self._empty: list[Any] = [None] * form.slots
        for slot, constant in form.constants:
            self._empty[slot] = constant
        self._wholes: BoundedDict[tuple[int, ...], Written] = BoundedDict(_MOST_ORDERS)

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
        for image, writers in self._images:
            prompt, model, negative = [write(values)[:RECORD_CHARACTERS] for write in writers]
            record = ImageRecord(prompt, model, values[image.seed], *image.size, negative)
            host.store.images[values[image.file_id]] = StoredImage(record)
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

    def part(self, number: int, run: Filled) -> bytes:
        """The part of that number as ``run`` has it, its URLs signed now."""
        return _rendered(self._ping if number == PING else self._parts[number], run)

    def whole(self, run: Filled) -> bytes:
        """All that is sent, with the pings between."""
        if not self.form.streaming:
            return _rendered(self._parts[0], run)
        order = tuple([number for _, number in self.timeline(run.values)])
        whole = self._wholes.get(order)
        if whole is None:
            parts = [self.ping if one == PING else self.form.parts[one] for one in order]
            whole = self._wholes[order] = _written(joined(parts))
        return _rendered(whole, run)

    def timeline(self, values: Sequence[Any]) -> Sequence[tuple[float, int]]:
        """When each frame of a stream is due, by its number, and the pings between them."""
        frames = tuple((values[part.at], number) for number, part in enumerate(self.form.parts))
        shown: Any = with_pings(cast(Timeline, frames), self._ping_rule)
        return [(at_s, one if type(one) is int else PING) for at_s, one in shown]


def _written(part: Part) -> Written:
    return Written(part.urls, part.template.writer())


def _rendered(part: Written, run: Filled) -> bytes:
    values = run.values
    for slot, file_id, extension in part.urls:
        values[slot] = run.urls.tool_file(values[file_id], extension)
    return part.write(values).encode()
