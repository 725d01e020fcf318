"""Makes the form of a run by running it with marked values."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from fake_server.compiled.form import Template, json_template, template, with_number_marks
from fake_server.compiled.marks import Draw, MarkedRandom, NotCompilableError, Step, Tape
from fake_server.endpoints.running import RunPlan, prepare, tool_files
from fake_server.host_spec import HostError, HostSpec
from fake_server.runs.events import NodeFinished, NodeStarted, Timeline, WorkflowFinished
from fake_server.runs.file_sources import FileSources
from fake_server.runs.frames import FrameRenderer
from fake_server.runs.random_values import TENANT_ID, RandomValues
from fake_server.runs.render import FileWriter, RunFacts
from fake_server.runs.request import accepted_body, run_request
from fake_server.runs.run_body import STREAMING
from fake_server.scenarios.effects import Effects
from fake_server.workflow.model import App, Node
from fake_server.workflow.nodes import NODE_KINDS

_PADDINGS = (":", ":" + "y" * 30)
"""Of the marks of the two runs whose forms must be equal."""

_STARTS_AT = (1714000000.25, 1800000123.75)
"""Unix times of the two runs."""

_MOST_TEXT = 4000
"""Images keep the beginning of longer texts only, and where that ends depends on the values."""

_NO_PINGS = Effects(ping=(lambda ping: ping._replace(first_s=math.inf),))
"""Pings are put between the frames when the durations are known."""


class Image(NamedTuple):
    """An image that the run makes: its id, and what its record holds."""

    file_id: int
    seed: int
    texts: tuple[Template, Template, Template]
    size: tuple[int, int, int]
    """Width, height and steps."""


class Url(NamedTuple):
    """The URL of a file, signed when it is rendered."""

    slot: int
    file_id: int
    extension: str


class Part(NamedTuple):
    """A frame of a stream, or the whole of a blocking response; ``at`` is the slot of its time."""

    at: int
    template: Template
    urls: tuple[Url, ...]


def joined(parts: Sequence[Part]) -> Part:
    """``parts`` as one."""
    text = "".join(part.template.text for part in parts)
    slots = tuple(slot for part in parts for slot in part.template.slots)
    urls = tuple(url for part in parts for url in part.urls)
    return Part(parts[0].at, Template(text, slots), urls)


class RunForm(NamedTuple):
    """All runs of one shape: what they draw, how their numbers come about, what they send."""

    streaming: bool
    slots: int
    constants: tuple[tuple[int, Any], ...]
    inputs: tuple[tuple[str, Any], ...]
    """The cleaned inputs, which identify a request; without the values of ``texts``."""
    texts: tuple[tuple[str, int], ...]
    """The inputs that may be any text, with their slots."""
    escaped: tuple[int, ...]
    """The slots of texts that JSON has to escape."""
    user: int
    now: int
    end_user_id: int
    sequence_number: int
    started_at: int
    draws: tuple[Draw, ...]
    used_draws: tuple[Draw, ...]
    """Those that something is made of; the others only move a seeded generator on."""
    steps: tuple[Step, ...]
    render_steps: tuple[Step, ...]
    """Those that need ``started_at`` or ``sequence_number``."""
    images: tuple[Image, ...]
    parts: tuple[Part, ...]
    ends: int
    """The slot of the second at which the run ends."""
    task_id: int
    status: str


_ANY = ("ascii", "text")

Shape = tuple[tuple[str, str | None], ...]
"""For each start variable ``ascii`` or ``text`` for any text of the kind, ``=`` and a text for that
very text, or None for nothing.
"""


def compile_run(app: App, shape: Shape, streaming: bool, spec: HostSpec) -> RunForm | None:
    """The form of the runs of ``app`` with inputs of that ``shape``; None where there is none."""
    if not streaming:  # no response shows the pieces of a text, and how many there are
        spec = replace(spec, stream=spec.stream._replace(text_chunks="none"))
    if app.workflow is None or not all(
        _passes_on(one, spec) for one in app.workflow.nodes.values()
    ):
        return None
    try:
        one, other = (
            _Compilation(app, shape, streaming, spec, number).form() for number in range(2)
        )
    except (NotCompilableError, HostError):
        return None
    return one if one == other else None


def plan_run(
    app: App, body: Mapping[str, Any], spec: HostSpec, effects: Effects, random: RandomValues,
    *, now: float,
) -> RunPlan:  # fmt: skip
    """The plan of the run that ``body`` asks of ``app``. Raises ``HostError``."""
    accepted = accepted_body(body, app, lambda app_id, *, blocking: 0, spec)
    sources = FileSources({}, {}, accepted.workflow.remote_files, ())
    request = run_request(accepted, sources, spec)
    return prepare(app, request, effects, spec, random, now=now)


class _Compilation:
    """One run with marked values."""

    def __init__(
        self, app: App, shape: Shape, streaming: bool, spec: HostSpec, number: int
    ) -> None:
        self._app, self._shape, self._streaming, self._spec = app, shape, streaming, spec
        self._number, self._tape = number, Tape(_PADDINGS[number])
        self._random = MarkedRandom(self._tape, number)
        self._now = self._tape.number(_STARTS_AT[number])
        self._urls: list[Url] = []

    def form(self) -> RunForm:
        """Raises ``NotCompilableError``, and ``HostError`` where the run is refused."""
        tape, spec = self._tape, self._spec
        user = tape.text()
        inputs = {name: self._input(kind) for name, kind in self._shape}
        mode = STREAMING if self._streaming else "blocking"
        body = {"inputs": inputs, "response_mode": mode, "user": user}
        plan = plan_run(self._app, body, spec, _NO_PINGS, self._random, now=self._now)
        timeline = plan.timeline
        ends_s, end = timeline[-1]
        if not isinstance(end, WorkflowFinished) or _overlaps(timeline):
            raise NotCompilableError("it does not go straight to its end")
        ends = tape.slot_of(ends_s)
        if end.status == "stopped" or self._latest_s(ends) > spec.limits.run_s:
            raise NotCompilableError("the host may end it")
        images = tuple(self._images(timeline))
        planned = len(tape.steps)
        facts = RunFacts(
            task_id=plan.task_id,
            workflow_run_id=plan.run_id,
            workflow_id=plan.request.workflow.workflow_id,
            sequence_number=tape.number(1),
            end_user_id=tape.text(),
            user=user,
            started_at=tape.number(_STARTS_AT[self._number]),
        )
        files = FileWriter(TENANT_ID, spec.fields["File"], spec.files, self)
        renderer = FrameRenderer(facts, spec, files, plan.ping.frame, (with_number_marks,))
        parts = tuple(self._parts(renderer, timeline, end))
        texts = tuple(
            (name, tape.slot_of(inputs[name])) for name, kind in self._shape if kind in _ANY
        )
        known = {**plan.request.inputs, **dict.fromkeys(name for name, _ in texts)}
        used = {ends, *(part.at for part in parts)}
        used.update(*(part.template.slots for part in parts))
        used.update(url.file_id for part in parts for url in part.urls)
        used.update(*((image.file_id, image.seed) for image in images))
        for step in reversed(tape.steps):
            if step.slot in used:
                used |= {step.left, step.right}
        return RunForm(
            streaming=self._streaming,
            slots=tape.slots,
            constants=tuple(one for one in tape.constants.items() if one[0] in used),
            inputs=tuple(known.items()),
            texts=texts,
            escaped=(tape.slot_of(user), *(slot for _, slot in texts)),
            user=tape.slot_of(user),
            now=tape.slot_of(self._now),
            end_user_id=tape.slot_of(facts.end_user_id),
            sequence_number=tape.slot_of(facts.sequence_number),
            started_at=tape.slot_of(facts.started_at),
            draws=tuple(tape.draws),
            used_draws=tuple(draw for draw in tape.draws if draw.slot in used),
            steps=tuple(step for step in tape.steps[:planned] if step.slot in used),
            render_steps=tuple(step for step in tape.steps[planned:] if step.slot in used),
            images=images,
            parts=parts,
            ends=ends,
            task_id=tape.slot_of(plan.task_id),
            status=end.status,
        )

    def _input(self, kind: str | None) -> str | None:
        if kind is None or kind.startswith("="):
            return kind and kind[1:]
        return self._tape.text() if kind == "ascii" else self._tape.text().replace(":", ":é", 1)

    def _latest_s(self, ends: int) -> float:
        """The value of slot ``ends`` if each of the durations is as long as can be."""
        values = {**self._tape.constants}
        for slot, method, arguments in self._tape.draws:
            if method is RandomValues.vary:
                values[slot] = arguments[0] * (1 + arguments[1])
        for slot, function, left, right in self._tape.steps:
            if left in values and right in values:
                values[slot] = function(values[left], values[right])
        return float(values[ends])

    def _images(self, timeline: Timeline) -> Iterator[Image]:
        tape = self._tape
        for file in {file.file_id: file for _, file in tool_files(timeline)}.values():
            record = file.record
            texts = (record.prompt, record.model, record.negative_prompt)
            if max(map(len, texts)) > _MOST_TEXT:
                raise NotCompilableError("the text of an image is too long")
            yield Image(
                tape.slot_of(file.file_id),
                tape.slot_of(record.seed),
                (template(texts[0]), template(texts[1]), template(texts[2])),
                (record.width, record.height, record.steps),
            )

    def _parts(
        self, renderer: FrameRenderer, timeline: Timeline, end: WorkflowFinished
    ) -> Iterator[Part]:
        slot_of = self._tape.slot_of
        if not self._streaming:
            data = renderer.blocking(end)
            yield Part(slot_of(timeline[-1][0]), json_template(data), tuple(self._urls))
            return
        for at_s, event in timeline:
            self._urls = []
            data = renderer.frame(event)
            yield Part(slot_of(at_s), json_template(data), tuple(self._urls))

    # The URLs of files, as their renderer asks for them

    def tool_file(self, file_id: str, extension: str) -> str:
        url = self._tape.text()
        slots = self._tape.slot_of(url), self._tape.slot_of(file_id)
        self._urls.append(Url(*slots, extension))
        return url

    def uploaded(self, file_id: str) -> str:
        raise NotCompilableError("it shows an uploaded file")


def _passes_on(node: Node, spec: HostSpec) -> bool:
    """Whether other texts change nothing of what the node does but the texts that hold them."""
    kind = NODE_KINDS.get(node.type)
    return kind is not None and node.parent is None and kind.passes_on(node, spec)


def _overlaps(timeline: Timeline) -> bool:
    """Whether nodes run side by side: their order depends on how long they take."""
    running = 0
    for _, event in timeline:
        running += isinstance(event, NodeStarted) - isinstance(event, NodeFinished)
        if running > 1:
            return True
    return False
