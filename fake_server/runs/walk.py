"""Walks the graph of a workflow in simulated time: which node starts when, and what follows it.

A ``Run`` holds the clock of the simulation and the actions that are due; a ``Scope`` is one walk
through one graph: that of the workflow, or that inside an iteration or loop, once for each turn.
Nothing here waits or reads a clock, and the order of everything is that of time and then of the
file, so that a run with the same random values is the same run.

How a version goes from node to node is ``GraphRules.walk``:

- ``chain``: one node after the other, by the first edge;
- ``branches``: several edges are parallel branches, each with events of its own, until they join;
- ``queue``: a node starts as soon as each of its incoming edges is taken or cannot be taken.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from functools import cached_property
from heapq import heappop, heappush
from operator import itemgetter
from typing import Any

from fake_server.host_spec import HostSpec
from fake_server.runs.branches import Branch, Fork, joined
from fake_server.runs.events import (
    TOP,
    AgentLog,
    BranchFinished,
    BranchStarted,
    Event,
    HumanInputRequired,
    NodeFinished,
    NodeRetry,
    NodeStarted,
    Place,
    RunCrashed,
    TextChunk,
    Timeline,
    Values,
    WorkflowFinished,
    cut,
)
from fake_server.runs.failures import FAIL_BRANCH, SUCCESS_BRANCH, failure_outputs, retries
from fake_server.runs.human_input import opened
from fake_server.runs.random_values import RandomValues
from fake_server.workflow.expressions import Pool
from fake_server.workflow.model import CONTAINER_STARTS, Edge, Node, Workflow
from fake_server.workflow.nodes import NodeCall, NodeOutcome, missing_report, run_node, started_icon

MOST_NODES = 20_000
"""The most nodes and turns of one run: an iteration inside an iteration needs a bound."""

NOTHING = NodeOutcome(0.0)
"""The outcome of a node that has begun."""

TOO_MANY = f"The fake runs at most {MOST_NODES} nodes in one run."

Entries = list[tuple[float, Event]]


class Running:
    """A node that has started and not ended. ``started`` is that of its latest attempt."""

    __slots__ = ("attempt", "branch", "first", "node", "outcome", "scope", "started")

    def __init__(
        self, scope: Scope, node: Node, started: NodeStarted, branch: Branch | None
    ) -> None:
        self.scope, self.node, self.branch = scope, node, branch
        self.first = self.started = started
        self.attempt = 0
        self.outcome = NOTHING


class Run:
    """A run while it is planned. ``containers`` begin what is no single node, by its type."""

    def __init__(
        self,
        workflow: Workflow,
        inputs: Values,
        random: RandomValues,
        spec: HostSpec,
        containers: Mapping[str, Callable[[Running], Any]],
    ) -> None:
        self.workflow, self.inputs, self.random, self.spec = workflow, inputs, random, spec
        self.rules = spec.graph
        self.most_steps = spec.limits.run_steps + spec.graph.steps_over
        self.containers = containers
        self.sends_branches = "parallel_branch_started" in spec.events
        self.sends_text = "text_chunk" in spec.events
        self.timeline: Entries = []
        self.now_s = 0.0
        self.steps = 0
        self.nodes_run = 0
        self.end: Event | None = None
        self.forms: list[tuple[Running, Values]] = []
        """The nodes that wait for a form; until then no further node starts."""
        self.held: list[tuple[Scope, Node, str | None, Branch | None]] = []
        """What starts when the run goes on."""
        self.started_s = 0.0
        """When the latest node started."""
        self._due: list[tuple[float, int, Callable[[Any], None], Any]] = []
        self._actions = 0
        pool: Pool = {"sys": {k[4:]: v for k, v in inputs.items() if k.startswith("sys.")}}
        pool["env"], pool["conversation"] = workflow.environment, dict(workflow.conversation)
        self.root = Scope(self, pool, self.timeline, done=self._complete, failed=self._fail)

    def at(self, at_s: float, action: Callable[[Any], None], subject: Any = None) -> None:
        """Do ``action`` at that second of the run."""
        self._actions += 1
        heappush(self._due, (at_s, self._actions, action, subject))

    def play(self) -> None:
        """Go on until the run ends, or until nothing more is due."""
        due = self._due
        limit_s = self.spec.limits.run_s
        while due and self.end is None and due[0][0] <= limit_s:
            self.now_s, _, action, subject = heappop(due)
            action(subject)
        if due and self.end is None:  # beyond the limit, at which ``planned`` cuts the run
            self.now_s = due[0][0]
            self.finish("stopped", None, self.spec.run.stop_error)

    def planned(self) -> Timeline:
        """What has happened, in the order of time, up to the end."""
        assert self.end is not None
        limits, end_s = self.spec.limits, self.now_s + self.rules.gap_s
        timeline = self.timeline
        if self.rules.walk != "chain":  # which is in order as it is
            timeline.sort(key=itemgetter(0))
        while timeline and timeline[-1][0] >= end_s:
            timeline.pop()
        timeline.append((end_s, self.end))
        if end_s > limits.run_s:
            return cut(timeline, limits.run_s, self.spec.run.stop_error)
        return tuple(timeline)

    def crash(self) -> None:
        """The host itself fails."""
        self.end = RunCrashed()

    def ask(self, running: Running, form: Values) -> None:
        """Wait for somebody to fill in ``form``, once everything that runs has ended."""
        self.forms.append((running, form))
        node = running.node
        running.scope.events.append(
            (self.now_s, HumanInputRequired(node.node_id, node.title, form))
        )

    def release(self) -> None:
        """Start what was held while the run waited."""
        held, self.held = self.held, []
        for scope, node, previous, branch in held:
            scope.held_back(node, previous, branch, self.rules.gap_s)

    def _complete(self) -> None:
        root = self.root
        self.finish("partial-succeeded" if root.exceptions else "succeeded", root.outputs, None)

    def _fail(self, error: str) -> None:
        self.finish("failed", None, error)

    def finish(self, status: str, outputs: Values | None, error: str | None) -> None:
        """End the run, unless it has ended."""
        if self.end is None:
            self.now_s = max(self.now_s, self.started_s)
            elapsed_s = self.now_s + self.rules.gap_s
            tokens, exceptions = self.root.tokens, self.root.exceptions
            self.end = WorkflowFinished(
                status, outputs or None, error, elapsed_s, tokens, self.steps, exceptions
            )

    @cached_property
    def _reachable(self) -> frozenset[str]:
        """The nodes to which edges lead from the start; other edges decide nothing."""
        workflow, found = self.workflow, set[str]()
        pending = [] if workflow.start is None else [workflow.start.node_id]
        while pending:
            node_id = pending.pop()
            if node_id not in found:
                found.add(node_id)
                pending += [edge.target for edge in workflow.outgoing[node_id]]
                if node_id in workflow.children and (entry := workflow.entry(node_id)):
                    pending.append(entry.node_id)
        return frozenset(found)

    def awaited(self, node_id: str) -> int:
        """How many edges have to be decided before the node can start."""
        edges = self.workflow.incoming[node_id]
        return sum(edge.source in self._reachable for edge in edges)


class Scope:
    """One walk through one graph.

    ``done`` is called when nothing of it runs any more, ``failed`` with the error that ended it.
    ``metadata`` is added to that of each of its nodes.
    """

    __slots__ = (
        "_arrivals", "_awaited", "_done", "_failed", "active", "events",
        "exceptions", "inner", "left_by", "metadata", "outputs", "over", "place", "pool", "price",
        "run", "tokens",
    )  # fmt: skip

    def __init__(
        self,
        run: Run,
        pool: Pool,
        events: Entries,
        *,
        done: Callable[[], None],
        failed: Callable[[str], None],
        place: Place = TOP,
        metadata: Values | None = None,
    ) -> None:
        self.run, self.pool, self.events, self.place = run, pool, events, place
        self.metadata: Values = metadata or {}
        self.inner = metadata is not None
        self.active = self.tokens = self.exceptions = 0
        self.price = Decimal("0.0")
        """Of the models in a container."""
        self.outputs: Values | None = None
        self.left_by: str | None = None
        """The type of the node that ended last."""
        self.over = False
        self._done, self._failed = done, failed
        self._awaited: dict[str, int] = {}
        self._arrivals: dict[str, list[tuple[Branch | None, str]]] = {}

    def begin(self, node: Node | None, at_s: float) -> None:
        """Start at ``node``; the start of a container is no node of its own."""
        self.active += 1
        if node is not None and node.type in CONTAINER_STARTS:
            self._follow(node.node_id, "source", None, at_s)
        elif node is not None:
            self._start(node, None, None, at_s)
        self._leave(None)

    def held_back(
        self, node: Node, previous: str | None, branch: Branch | None, at_s: float
    ) -> None:
        """Start a node that was held until a form was filled in."""
        self._start(node, previous, branch, at_s)
        self._leave(branch)

    def _start(self, node: Node, previous: str | None, branch: Branch | None, at_s: float) -> None:
        run, rules = self.run, self.run.rules
        if run.forms:
            self.active += 1
            if branch is not None:
                branch.active += 1
            run.held.append((self, node, previous, branch))
            return
        if self.over:
            return
        if node.type not in rules.node_types:
            self.stop(rules.graph_errors["unknown_type"]["text"].format(type=node.type), branch)
            return
        if not self.inner or rules.inner_steps:
            if run.steps >= run.most_steps:
                limit = run.spec.limits.run_steps
                self.stop(rules.steps_error.format(limit=limit, steps=run.steps), branch)
                return
            run.steps += 1
        run.nodes_run += 1
        if run.nodes_run > MOST_NODES:
            self.stop(TOO_MANY)
            return
        if node.behaviour.missing is not None and missing_report(node, run.spec).when == "crash":
            run.crash()
            return
        self.active += 1
        place = self.place
        if branch is not None:
            branch.active += 1
            place = branch.place
        run.started_s = max(run.started_s, at_s)
        started = NodeStarted(
            run.random.uuid(),
            node.node_id,
            node.type,
            node.title,
            run.steps if rules.indexed else 1,
            previous if rules.indexed else None,
            {"icon": started_icon(node, run.spec)} if node.type == "tool" else {},
            at_s,
            place,
            None,
            run.steps,
        )
        self.events.append((at_s, started))
        running = Running(self, node, started, branch)
        if node.type in run.containers:
            run.at(at_s, run.containers[node.type], running)
        else:
            self._attempt(running, at_s)

    def _attempt(self, running: Running, at_s: float) -> None:
        run, node = self.run, running.node
        seconds = run.random.vary(node.behaviour.seconds, node.behaviour.spread)
        running.outcome = outcome = run_node(
            NodeCall(
                node, run.workflow.variables, run.inputs, self.pool, run.random, seconds, run.spec,
                running.attempt,
            )
        )  # fmt: skip
        if outcome.chunks and run.sends_text:
            for name, texts in outcome.chunks:
                step_s, last = outcome.seconds / (len(texts) + 1), len(texts)
                for number, text in enumerate(texts, 1):
                    chunk = TextChunk(text, (node.node_id, name), number == last)
                    self.events.append((at_s + number * step_s, chunk))
        for after_s, log in outcome.logs:
            self.events.append((at_s + after_s, AgentLog(running.first, log)))
        run.at(at_s + outcome.seconds, self.finish, running)

    def finish(self, running: Running) -> None:
        """The node, or the attempt, of ``running`` has ended as its outcome says."""
        outcome = running.outcome
        if self.over:
            return
        if outcome.error is not None:
            self._fail(running, outcome.error)
        elif outcome.form is not None:
            self.run.ask(running, opened(outcome.form, self.run.random, self.run.now_s))
        else:
            handle = outcome.handle
            if handle == "source" and running.node.data.get("error_strategy") == FAIL_BRANCH:
                handle = SUCCESS_BRANCH
            self._ended(running, "succeeded", None, outcome.outputs, handle)

    def _fail(self, running: Running, error: str) -> None:
        """Try the node again, go on by its error strategy, or end the walk."""
        rules, data = self.run.rules, running.node.data
        if rules.exceptions != "none":
            most, interval_s = retries(data)
            self.exceptions += rules.exceptions == "failures"
            if running.attempt < most:
                self._retry(running, error, interval_s)
                return
            outputs = failure_outputs(data, error, running.outcome.error_type)
            if outputs is not None:
                self.exceptions += rules.exceptions == "handled"
                handle = FAIL_BRANCH if data["error_strategy"] == FAIL_BRANCH else "source"
                text = rules.exception_error or error
                self._ended(running, "exception", text, outputs, handle)
                return
        self._ended(running, "failed", error, None, None)
        self.stop(rules.node_error.format(title=running.node.title, error=error), running.branch)

    def _retry(self, running: Running, error: str, interval_s: float) -> None:
        run, rules, outcome, started = self.run, self.run.rules, running.outcome, running.started
        if not self.inner or rules.inner_steps:
            run.steps += 1
        metadata: Values | None = None
        if rules.retry_new_id:
            started = replace(started, execution_id=run.random.uuid(), index=run.steps)
            metadata = {
                "iteration_id": started.place.iteration_id,
                "parallel_mode_run_id": started.place.parallel_run_id,
                "loop_id": started.place.loop_id,
            }
        again_s = run.now_s + interval_s
        at_s = again_s if rules.retry_after_wait else run.now_s
        attempt = NodeFinished(
            replace(started, step=run.steps),
            at_s,
            "retry",
            error,
            outcome.inputs,
            outcome.process_data,
            None,
            metadata,
        )
        running.attempt += 1
        self.events.append((at_s, NodeRetry(attempt, running.attempt)))
        running.started = replace(running.started, started_s=again_s)
        if running.node.type in run.containers:
            run.at(again_s, run.containers[running.node.type], running)
        else:
            self._attempt(running, again_s)

    def stop(self, error: str, branch: Branch | None = None) -> None:
        """End the walk with ``error``, and each of the branches around its place."""
        now_s = self.run.now_s
        while branch is not None:
            self.events.append((now_s, BranchFinished(branch.place, now_s, "failed", error)))
            branch = branch.parent
        self.over = True
        self._failed(error)

    def _ended(
        self,
        running: Running,
        status: str,
        error: str | None,
        outputs: Values | None,
        handle: str | None,
    ) -> None:
        """Tell how a node ended, and go on by the edges of ``handle``."""
        now_s, outcome = self.run.now_s, running.outcome
        inputs, process_data = outcome.inputs, outcome.process_data
        metadata = outcome.execution_metadata
        if status == "exception":
            metadata = {"error_strategy": running.node.data["error_strategy"]}
            if not self.run.rules.exception_details:
                inputs = process_data = None
        if running.branch is not None:
            metadata = {**(metadata or {}), **running.branch.metadata}
        if self.inner:
            metadata = {**(metadata or {}), **self.metadata}
            if outcome.total_tokens:
                self.price += Decimal((outcome.execution_metadata or {}).get("total_price", 0))
        finished = NodeFinished(
            running.first, now_s, status, error, inputs, process_data, outputs, metadata, handle
        )
        self.events.append((now_s, finished))
        self.tokens += outcome.total_tokens
        if handle is not None:
            self._go_on(running, outputs, handle)

    def _go_on(self, running: Running, outputs: Values | None, handle: str) -> None:
        """Keep what others can use of a node, and start what follows it."""
        run, node, walk = self.run, running.node, self.run.rules.walk
        self.pool[node.node_id] = outputs or {}
        for selector, value in running.outcome.writes:
            scope = self.pool.get(selector[0])
            if isinstance(scope, dict) and len(selector) > 1:
                scope[selector[1]] = value
        self.left_by = node.type
        if node.type == "end" or walk == "chain":
            several = walk == "queue" and self.outputs
            self.outputs = {**several, **(outputs or {})} if several else outputs
        if walk == "chain" and node.type != "end":
            self._follow_first(node.node_id, handle, run.now_s)
        elif node.type != "end":
            self._follow(node.node_id, handle, running.branch, run.now_s)
        self._leave(running.branch)

    # what follows a node

    def _follow_first(self, node_id: str, handle: str, now_s: float) -> None:
        """Start what the first edge of ``handle`` leads to."""
        workflow = self.run.workflow
        for edge in taken_edges(workflow.outgoing[node_id], handle):
            at_s = now_s + self.run.rules.gap_s
            self._start(workflow.nodes[edge.target], node_id, None, at_s)
            break

    def _follow(self, node_id: str, handle: str, branch: Branch | None, now_s: float) -> None:
        """Start what the edges of ``handle`` lead to, as far as it waits for nothing else."""
        run = self.run
        edges = run.workflow.outgoing[node_id]
        taken = taken_edges(edges, handle)
        if len(taken) < len(edges):
            self._skip(edge for edge in edges if edge not in taken)
        fork = None
        if run.sends_branches and len(taken) > 1:
            fork = Fork(node_id, branch, run.random.uuid(), self.place)
        for number, edge in enumerate(taken, 1):
            if not self._decided(edge, branch):
                continue
            at_s = now_s + run.rules.gap_s * number
            arrivals = self._arrivals.get(edge.target, ())
            if fork is not None and all(source == node_id for _, source in arrivals):
                start = fork.branch(edge.target)
                self.events.append((at_s, BranchStarted(start.place, at_s)))
                self._start(run.workflow.nodes[edge.target], None, start, at_s)
            else:
                into, previous = joined(arrivals) if arrivals else (branch, node_id)
                self._start(run.workflow.nodes[edge.target], previous, into, at_s)

    def _skip(self, edges: Iterable[Edge]) -> None:
        """The edges are not taken, and neither is what only they lead to."""
        run, pending = self.run, list(edges)
        while pending:
            edge = pending.pop()
            if self._decided(edge):
                if arrivals := self._arrivals.get(edge.target):
                    into, previous = joined(arrivals)
                    at_s = run.now_s + run.rules.gap_s
                    self._start(run.workflow.nodes[edge.target], previous, into, at_s)
                else:
                    pending += run.workflow.outgoing[edge.target]

    def _decided(self, edge: Edge, *taken_in: Branch | None) -> bool:
        """Note whether an edge is taken, in which branch; whether the last edge to its target is
        decided with it.
        """
        run, target = self.run, edge.target
        if len(run.workflow.incoming[target]) == 1:
            return True
        for branch in taken_in:
            self._arrivals.setdefault(target, []).append((branch, edge.source))
        awaited = self._awaited[target] = self._awaited.get(target, run.awaited(target)) - 1
        return awaited == 0

    def _leave(self, branch: Branch | None) -> None:
        """Something of the scope, and of ``branch``, runs no more."""
        now_s = self.run.now_s
        while branch is not None:
            branch.active -= 1
            if branch.active:
                break
            self.events.append((now_s, BranchFinished(branch.place, now_s, "succeeded")))
            branch = branch.parent
        self.active -= 1
        if self.active == 0 and not self.over:
            self.over = True
            self._done()


def taken_edges(edges: Sequence[Edge], handle: str) -> Sequence[Edge]:
    """The edges by which a run goes on: those of ``handle``, and of a node that chooses none all
    but that for its failure.
    """
    if handle in ("source", SUCCESS_BRANCH):
        return [edge for edge in edges if edge.handle != FAIL_BRANCH]
    return [edge for edge in edges if edge.handle == handle]
