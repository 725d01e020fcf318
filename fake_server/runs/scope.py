"""Walks the graph of a workflow, and that inside of a container once for each turn: which node
starts when, which events it has, and what follows it.

How a version goes from node to node is ``GraphRules.walk``:

- ``chain``: one node after the other, by the first edge;
- ``branches``: several edges are parallel branches, each with events of its own, until they join;
- ``queue``: a node starts as soon as each of its incoming edges is taken or cannot be taken.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import Decimal

from fake_server.runs.branches import Branch, Fork, joined
from fake_server.runs.events import (
    TOP,
    AgentLog,
    BranchFinished,
    BranchStarted,
    NodeFinished,
    NodeRetry,
    NodeStarted,
    Place,
    RunCrashed,
    TextChunk,
)
from fake_server.runs.failures import FAIL_BRANCH, SUCCESS_BRANCH, failure_outputs, retries
from fake_server.runs.values import Values
from fake_server.runs.walk import MALFORMED, MOST_NODES, TOO_MANY, Entries, Run
from fake_server.workflow.expressions import Pool
from fake_server.workflow.model import CONTAINER_STARTS, Edge, Node
from fake_server.workflow.nodes import (
    NODE_KINDS,
    UNKNOWN_KIND,
    NodeCall,
    NodeOutcome,
    missing_report,
    started_icon,
)

_BEGUN = NodeOutcome(0.0)
"""The outcome of a node that has none yet."""


class Running:
    """A node that has started and not ended. ``started`` is that of its latest attempt."""

    __slots__ = ("attempt", "branch", "first", "node", "outcome", "scope", "started")

    def __init__(
        self, scope: Scope, node: Node, started: NodeStarted, branch: Branch | None
    ) -> None:
        self.scope, self.node, self.branch = scope, node, branch
        self.first = self.started = started
        self.attempt, self.outcome = 0, _BEGUN


class Scope:
    """One walk through one graph.

    ``on_end`` is called when nothing of it runs any more, with the error if one has ended it.
    ``metadata`` is added to that of each of its nodes. ``price`` is that of the models in a
    container, ``left_by`` the type of the node that ended last.
    """

    __slots__ = (
        "_arrivals", "_awaited", "active", "events", "exceptions", "inner", "left_by", "metadata",
        "on_end", "outputs", "over", "place", "pool", "price", "run", "tokens",
    )  # fmt: skip

    def __init__(
        self,
        run: Run,
        pool: Pool,
        events: Entries,
        *,
        on_end: Callable[[str | None], None],
        place: Place = TOP,
        metadata: Values | None = None,
    ) -> None:
        self.run, self.pool, self.events, self.place = run, pool, events, place
        self.metadata, self.inner = metadata, metadata is not None
        self.active = self.tokens = self.exceptions = 0
        self.price = Decimal("0.0")
        self.outputs: Values | None = None
        self.left_by: str | None = None
        self.over = False
        self.on_end = on_end
        self._awaited: dict[str, int] = {}
        self._arrivals: dict[str, list[tuple[Branch | None, str]]] = {}

    def inside(
        self,
        pool: Pool,
        events: Entries,
        on_end: Callable[[str | None], None],
        place: Place,
        metadata: Values,
    ) -> Scope:
        """The scope of one turn of a container in this one."""
        around = {**metadata, **(self.metadata or {})}
        return Scope(self.run, pool, events, on_end=on_end, place=place, metadata=around)

    def begin(self, node: Node | None, at_s: float) -> None:
        """Start at ``node``; the start of a container is no node of its own."""
        self.active += 1
        if node is not None and node.type in CONTAINER_STARTS:
            self._follow(node.node_id, "source", None, at_s)
        elif node is not None:
            self._start(node, None, None, at_s)
        self._leave(None)

    def release(self, node: Node, previous: str | None, branch: Branch | None, at_s: float) -> None:
        """Start a node that was held until a form was filled in."""
        self._start(node, previous, branch, at_s)
        self._leave(branch)

    def _start(self, node: Node, previous: str | None, branch: Branch | None, at_s: float) -> None:
        run, rules = self.run, self.run.rules
        if self.over:
            return
        if (
            node.type not in rules.node_types
            or node.behaviour.missing is not None
            or run.steps >= run.most_steps
            or run.nodes_run >= MOST_NODES
        ) and self._refused(node, branch):
            return
        self.active += 1
        place = self.place
        if branch is not None:
            branch.active += 1
            place = branch.place
        if run.forms:
            run.held.append((self, node, previous, branch))
            return
        if rules.inner_steps or not self.inner:
            run.steps += 1
        run.nodes_run += 1
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
            {"name": node.data.get("agent_strategy_name"), "icon": None}
            if node.type == "agent"
            else None,
            run.steps,
        )
        self.events.append((at_s, started))
        self._try(Running(self, node, started, branch), at_s)

    def _refused(self, node: Node, branch: Branch | None) -> bool:
        """Whether the run ends because the node cannot be started."""
        run, rules = self.run, self.run.rules
        if node.type not in rules.node_types:
            self.stop(rules.graph_errors["unknown_type"]["text"].format(type=node.type), branch)
        elif run.steps >= run.most_steps and (rules.inner_steps or not self.inner):
            limit = run.spec.limits.run_steps
            self.stop(rules.steps_error.format(limit=limit, steps=run.steps), branch)
        elif run.nodes_run >= MOST_NODES:
            self.stop(TOO_MANY, branch)
        elif node.behaviour.missing and missing_report(node, run.spec).when == "crash":
            run.end = RunCrashed()
        else:
            return False
        return True

    def _try(self, running: Running, at_s: float) -> None:
        """One attempt of a node, from ``at_s`` on."""
        run, node = self.run, running.node
        if node.type in run.containers:
            run.at(at_s, self._open, running)
            return
        seconds = run.random.vary(node.behaviour.seconds, node.behaviour.spread)
        running.outcome = outcome = NODE_KINDS.get(node.type, UNKNOWN_KIND).outcome(
            NodeCall(
                node, run.workflow.variables, run.inputs, self.pool, run.random, seconds, run.spec,
                running.attempt, run.template_steps,
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

    def _open(self, running: Running) -> None:
        """Begin a container."""
        try:
            self.run.containers[running.node.type](running)
        except MALFORMED as error:
            running.outcome = NodeOutcome(0.0, error=str(error), error_type=type(error).__name__)
            self.finish(running)

    def finish(self, running: Running) -> None:
        """The node, or the attempt, of ``running`` has ended as its outcome says."""
        outcome = running.outcome
        if self.over:
            return
        if outcome.error is not None:
            self._fail(running, outcome.error)
        elif outcome.form is not None:
            self.run.require_input(running, outcome.form)
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
        if rules.inner_steps or not self.inner:
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
        self._try(running, again_s)

    def stop(self, error: str, branch: Branch | None = None) -> None:
        """End the walk with ``error``, and each of the branches around its place."""
        now_s = self.run.now_s
        for one in branch.outward() if branch is not None else ():
            self.events.append((now_s, BranchFinished(one.place, now_s, "failed", error)))
        self.over = True
        self.on_end(error)

    def _ended(
        self,
        running: Running,
        status: str,
        error: str | None,
        outputs: Values | None,
        handle: str | None,
    ) -> None:
        """Add the end of a node to the events, and go on by the edges of ``handle``."""
        run, node, outcome = self.run, running.node, running.outcome
        now_s, walk = run.now_s, run.rules.walk
        inputs, process_data = outcome.inputs, outcome.process_data
        metadata = outcome.execution_metadata
        if status == "exception":
            metadata = {"error_strategy": node.data["error_strategy"]}
            if not run.rules.exception_details:
                inputs = process_data = None
        if running.branch is not None:
            metadata = {**(metadata or {}), **running.branch.metadata}
        if self.metadata is not None:
            metadata = {**(metadata or {}), **self.metadata}
            if outcome.total_tokens:
                self.price += Decimal((outcome.execution_metadata or {}).get("total_price", 0))
        finished = NodeFinished(
            running.first, now_s, status, error, inputs, process_data, outputs, metadata, handle
        )
        self.events.append((now_s, finished))
        self.tokens += outcome.total_tokens
        if handle is None:
            return
        self.pool[node.node_id] = outputs or {}
        for selector, value in outcome.writes:
            scope = self.pool.get(selector[0])
            if isinstance(scope, dict) and len(selector) > 1:
                scope[selector[1]] = value
        self.left_by = node.type
        if node.type == "end" or walk == "chain":
            several = walk == "queue" and self.outputs
            self.outputs = {**several, **(outputs or {})} if several else outputs
        if node.type != "end":
            self._follow(node.node_id, handle, running.branch, now_s)
        self._leave(running.branch)

    # what follows a node

    def _follow(self, node_id: str, handle: str, branch: Branch | None, now_s: float) -> None:
        """Start what the edges of ``handle`` lead to, as far as it waits for nothing else."""
        run, workflow = self.run, self.run.workflow
        edges, at_s = workflow.outgoing[node_id], now_s + run.rules.gap_s
        if run.rules.walk == "chain":
            for edge in edges:
                if handle in ("source", edge.handle):
                    self._start(workflow.nodes[edge.target], node_id, None, at_s)
                    break
            return
        taken, others = parted(edges, handle)
        if others:
            self._skip(others)
        fork = None
        if run.sends_branches and len(taken) > 1:
            fork = Fork(node_id, branch, run.random.uuid(), self.place)
        for edge in taken:
            target = workflow.nodes[edge.target]
            if self._decided(edge, branch):
                arrivals = self._arrivals.get(edge.target, ())
                if fork is not None and all(source == node_id for _, source in arrivals):
                    start = fork.branch(edge.target)
                    self.events.append((at_s, BranchStarted(start.place, at_s)))
                    self._start(target, None, start, at_s)
                else:
                    into, previous = joined(arrivals) if arrivals else (branch, node_id)
                    self._start(target, previous, into, at_s)
            at_s += run.rules.gap_s

    def _skip(self, pending: list[Edge]) -> None:
        """The edges are not taken, and neither is what only they lead to."""
        run = self.run
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
        left = self._awaited.get(target, run.workflow.awaited[target]) - 1
        self._awaited[target] = left
        return left == 0

    def _leave(self, branch: Branch | None) -> None:
        """One node less runs in the scope, and in ``branch``; without any they end."""
        for one in branch.outward() if branch is not None else ():
            one.active -= 1
            if one.active:
                break
            now_s = self.run.now_s
            self.events.append((now_s, BranchFinished(one.place, now_s, "succeeded")))
        self.active -= 1
        if self.active == 0 and not self.over:
            self.over = True
            self.on_end(None)


def parted(edges: Sequence[Edge], handle: str) -> tuple[list[Edge], list[Edge]]:
    """The edges by which a run goes on, and the others: those of ``handle`` are taken, and after a
    node that chooses none all but that for its failure.
    """
    parts: tuple[list[Edge], list[Edge]] = ([], [])
    chooses = handle not in ("source", SUCCESS_BRANCH)
    for edge in edges:
        is_taken = edge.handle == handle if chooses else edge.handle != FAIL_BRANCH
        parts[not is_taken].append(edge)
    return parts
