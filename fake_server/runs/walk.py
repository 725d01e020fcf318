"""A run in simulated time: what is due when, how the run ends, and how it goes on after a pause.

Nothing here waits or reads a clock, and the order of everything is that of time and then of the
file, so that a run with the same random values is the same run. What is due is done by scopes
(``runs/scope``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from heapq import heappop, heappush
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from fake_server.host_spec import HostSpec
from fake_server.runs.events import (
    Event,
    HumanInputFilled,
    HumanInputRequired,
    Timeline,
    WorkflowFinished,
    WorkflowPaused,
    WorkflowStarted,
    cut,
)
from fake_server.runs.random_values import RandomValues
from fake_server.runs.values import Values
from fake_server.workflow.expressions import RunSteps
from fake_server.workflow.model import Node, Workflow

if TYPE_CHECKING:
    from fake_server.runs.branches import Branch
    from fake_server.runs.scope import Running, Scope

MOST_NODES = 20_000
"""The most nodes and turns of one run: an iteration inside an iteration needs a bound."""

TOO_MANY = f"The fake runs at most {MOST_NODES} nodes in one run."

MALFORMED = (AttributeError, LookupError, TypeError, ValueError)
"""What data of a shape raises that no editor writes; the host's own check of it would fail too."""

Entries = list[tuple[float, Event]]
"""Events with the seconds at which they happen."""

Containers = Mapping[str, Callable[["Running"], Any]]
"""What begins a node that is a container, by its type."""

_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_TOKEN_CHARACTERS = 22


class Run:
    """A run while it is planned. ``root`` is the walk through the graph of the workflow."""

    root: Scope

    def __init__(
        self,
        workflow: Workflow,
        inputs: Values,
        random: RandomValues,
        spec: HostSpec,
        containers: Containers,
    ) -> None:
        self.workflow, self.inputs, self.random, self.spec = workflow, inputs, random, spec
        self.rules, self.containers = spec.graph, containers
        self.most_steps = spec.limits.run_steps + spec.graph.steps_over
        self.sends_branches = "parallel_branch_started" in spec.events
        self.sends_text = "text_chunk" in spec.events
        self.timeline: Entries = []
        self.now_s = self.started_s = 0.0
        """The time, and when the latest node started."""
        self.steps = self.nodes_run = 0
        self.template_steps = RunSteps()
        self.end: Event | None = None
        self.forms: list[tuple[Running, Values]] = []
        """The nodes that wait for a form; until then no further node starts."""
        self.held: list[tuple[Scope, Node, str | None, Branch | None]] = []
        """What starts when the run goes on."""
        self._due: list[tuple[float, int, Callable[[Any], None], Any]] = []
        self._actions = 0

    def at(self, at_s: float, action: Callable[[Any], None], subject: Any = None) -> None:
        """Do ``action`` at that second of the run."""
        self._actions += 1
        heappush(self._due, (at_s, self._actions, action, subject))

    def play(self) -> Timeline:
        """What happens until the run ends, or until nothing more is due before a form is filled in;
        at most until the host's own limit.
        """
        due, gap_s, limit_s = self._due, self.rules.gap_s, self.spec.limits.run_s
        while due and self.end is None and due[0][0] <= limit_s:
            self.now_s, _, action, subject = heappop(due)
            action(subject)
        if self.end is None and not due:
            self.end = self._paused()
        else:
            self.now_s = due[0][0] if self.end is None else self.now_s  # beyond the limit
            del self.root.run, self.root.on_end  # a circle, which would wait for the collector
        end_s = self.now_s + gap_s
        timeline = self.timeline
        if self.rules.walk != "chain":  # which is in order as it is
            timeline.sort(key=itemgetter(0))
        while timeline and timeline[-1][0] >= end_s:
            timeline.pop()
        if end_s > limit_s or self.end is None:
            return cut(timeline, limit_s, self.spec.run.stop_error)
        return (*timeline, (end_s, self.end))

    def ended(self, error: str | None) -> None:
        """Nothing runs any more, or an error has ended the run; the first end counts."""
        if self.end is None:
            root, outputs = self.root, None
            self.now_s = max(self.now_s, self.started_s)
            status = "failed" if error is not None else "succeeded"
            if error is None:
                outputs = root.outputs or None
                status = "partial-succeeded" if root.exceptions else status
            elapsed_s = self.now_s + self.rules.gap_s
            self.end = WorkflowFinished(
                status, outputs, error, elapsed_s, root.tokens, self.steps, root.exceptions
            )

    @property
    def shown_inputs(self) -> Values:
        """The inputs as the events of the run show them: without its time."""
        if "sys.timestamp" not in self.inputs:
            return self.inputs
        return {name: value for name, value in self.inputs.items() if name != "sys.timestamp"}

    # forms that somebody fills in [C: human_stream, human_events_resume]

    def require_input(self, running: Running, form: Values) -> None:
        """Wait for somebody to fill in ``form``, once everything that runs has ended."""
        if "form_token" not in form:
            token = "".join(self.random.choice(_BASE62) for _ in range(_TOKEN_CHARACTERS))
            expires_s = self.now_s + form["expires_s"]
            form = {"form_id": self.random.uuid(), **form, "form_token": token}
            form["expires_s"] = expires_s
        self.forms.append((running, form))
        node = running.node
        required = HumanInputRequired(node.node_id, node.title, form)
        running.scope.events.append((self.now_s, required))

    def _paused(self) -> WorkflowPaused:
        forms = [
            {**form, "node_id": running.node.node_id, "node_title": running.node.title}
            for running, form in self.forms
        ]
        nodes, elapsed_s = [form["node_id"] for form in forms], self.now_s + self.rules.gap_s
        tokens = self.root.tokens
        return WorkflowPaused(None, nodes, forms, elapsed_s, tokens, self.steps, self.resume)

    def resume(self, filled: HumanInputFilled, values: Values) -> Timeline:
        """What follows a form that is ``filled`` in with ``values``, in seconds from then on.

        Its node starts once more, and so do others that still wait.
        """
        at_s = self.rules.gap_s
        self.timeline = self.root.events = [(0.0, WorkflowStarted(self.shown_inputs, resumed=True))]
        self.end, self.now_s, self.started_s = None, 0.0, 0.0
        waiting, self.forms = self.forms, []
        for running, form in waiting:
            self.steps += 1
            running.first = replace(running.first, started_s=at_s, step=self.steps)
            self.timeline.append((at_s, running.first))
            if running.node.node_id != filled.node_id:
                self.at(at_s, partial(self.require_input, form=form), running)
                continue
            running.outcome = replace(
                running.outcome,
                inputs={
                    name: {"value_type": _value_type(value), "value": value}
                    for name, value in values.items()
                },
                outputs={
                    **values,
                    "__action_id": filled.action_id,
                    "__rendered_content": filled.rendered_content,
                    "__action_value": filled.action_text,
                },
                handle=filled.action_id,
                form=None,
            )
            self.timeline.append((at_s, filled))
            self.at(at_s, running.scope.finish, running)
        held, self.held = self.held, []
        for scope, node, previous, branch in held:
            scope.release(node, previous, branch, at_s)
        return self.play()


def _value_type(value: Any) -> str:
    """What the host calls the type of a value of a form."""
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    return "string" if isinstance(value, str) else "object"
