"""Iterations and loops: walks through the graph inside a container, once for each turn
[C: iter_json_stream, iter_par_stream, iter_fail_stream, loop_stream, loop_break_stream].

A container is a node: it starts, has its turns, and ends with outputs or with an error, so that its
own error strategy holds. ``GraphRules`` has what differs between versions.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from functools import partial
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from fake_server.runs.events import (
    ContainerCompleted,
    ContainerNext,
    ContainerStarted,
    NodeFinished,
    Place,
)
from fake_server.runs.values import Values
from fake_server.runs.walk import MALFORMED, MOST_NODES, TOO_MANY, Entries
from fake_server.workflow.expressions import ABSENT, Pool, find, read
from fake_server.workflow.nodes import NodeOutcome, conditions_hold

if TYPE_CHECKING:
    from fake_server.runs.scope import Running, Scope

_MOST_PARALLEL = 100
_DEFAULT_PARALLEL = 10


class _Turn:
    """One walk through the graph inside; ``events`` may be kept back until it ends."""

    scope: Scope

    def __init__(
        self, index: int, began_s: float, events: Entries, run_id: str | None = None
    ) -> None:
        self.index, self.began_s, self.events, self.run_id = index, began_s, events, run_id


class _Container:
    """What iterations and loops have in common."""

    def __init__(self, running: Running) -> None:
        self._running, self._outer = running, running.scope
        self._run, self._node = running.scope.run, running.node
        self._data: Mapping[str, Any] = self._node.data
        self._rules = self._run.rules
        self._inputs: Values = {}
        self._length = self._tokens = 0
        self._price = Decimal("0.0")
        self._seconds: dict[str, float] = {}
        self._turns: list[_Turn] = []

    def _started(self, inputs: Values, length: int) -> None:
        self._inputs, self._length = inputs, length
        self._emit(ContainerStarted(self._running.first, inputs, length))

    def _next(self, index: int, output: Any = None, after: _Turn | None = None) -> None:
        seconds = None if after is None else self._run.now_s - after.began_s
        run_id = None if after is None else after.run_id
        self._emit(
            ContainerNext(self._running.first, index, self._run.now_s, output, seconds, run_id)
        )

    def _begin(self, turn: _Turn, pool: Pool, place: Place, metadata: Values) -> None:
        """Begin one turn, as an action of its own, so that turns without nodes do not nest."""
        ended = partial(self.turn_ended, turn)
        turn.scope = self._outer.inside(pool, turn.events, ended, place, metadata)
        self._turns.append(turn)
        self._run.nodes_run += 1
        if self._run.nodes_run > MOST_NODES:
            self._outer.stop(TOO_MANY)
            return
        entry = self._run.workflow.entry(self._node.node_id)
        self._run.at(turn.began_s, partial(turn.scope.begin, entry), turn.began_s)

    def turn_ended(self, turn: _Turn, error: str | None) -> None:
        raise NotImplementedError

    def _count(self, turn: _Turn) -> None:
        """Add what a turn has used."""
        self._tokens += turn.scope.tokens
        self._price += turn.scope.price
        self._seconds[str(turn.index)] = round(self._run.now_s - turn.began_s, 6)

    def _completed(self, outputs: Values, error: str | None, **metadata: Any) -> None:
        """Add the end of the container to the events, and end its node."""
        found = {
            "total_tokens": self._tokens,
            "total_price": str(self._price),
            "currency": "USD",
            **metadata,
        }
        known = {name: found[name] for name in self._rules.container_metadata[self._node.type]}
        finished = NodeFinished(
            self._running.first,
            self._run.now_s,
            "succeeded" if error is None else "failed",
            None,
            self._inputs,
            None,
            outputs,
            known,
        )
        self._emit(ContainerCompleted(finished, self._inputs, self._tokens, self._length))
        self._end(outputs, error, known)

    def _end(self, outputs: Values | None, error: str | None, metadata: Values | None) -> None:
        for turn in self._turns:
            turn.scope.over = True
        self._running.outcome = NodeOutcome(
            0.0,
            inputs=self._inputs,
            outputs=outputs,
            error=error,
            execution_metadata=metadata,
            total_tokens=self._tokens,
        )
        self._outer.finish(self._running)

    def _emit(self, event: ContainerStarted | ContainerNext | ContainerCompleted) -> None:
        self._outer.events.append((self._run.now_s, event))


class Iteration(_Container):
    """One turn for each entry of a list, several at once where the node says so.

    Where turns announce themselves (``GraphRules.next_after_turn`` is false), parallel ones do so
    all at first, and the events of each are kept back until it ends.
    """

    def __init__(self, running: Running) -> None:
        super().__init__(running)
        self._parallel = self._data.get("is_parallel") is True and self._rules.walk != "chain"
        self._items: list[Any] = []
        self._results: dict[int, Any] = {}
        self._begun = 0
        selector = _path(self._data.get("iterator_selector"))
        items = find(self._outer.pool, selector)
        errors = self._rules.container_errors
        if items is ABSENT:
            self._end(None, errors["iterator_absent"].format(selector=selector), None)
        elif not isinstance(items, list | None):
            self._end(None, errors["iterator_no_list"].format(value=items), None)
        elif not items:
            self._end({"output": []}, None, None)
        elif len(items) > MOST_NODES:
            self._end(None, TOO_MANY, None)
        else:
            self._items = items
            self._started({"iterator_selector": items}, len(items))
            self._begin_turns()

    def _begin_turns(self) -> None:
        announced = self._parallel and not self._rules.next_after_turn
        for index in range(len(self._items) if announced else self._rules.next_after_turn):
            self._next(index)
        at_once = self._data.get("parallel_nums") if self._parallel else 1
        if not isinstance(at_once, int) or at_once < 1:
            at_once = _DEFAULT_PARALLEL
        for _ in range(min(at_once, _MOST_PARALLEL, len(self._items))):
            self._begin_turn()

    def _begin_turn(self) -> None:
        index, node_id, run = self._begun, self._node.node_id, self._run
        if index == len(self._items) or run.end is not None:
            return
        self._begun += 1
        if not self._parallel and not self._rules.next_after_turn:
            self._next(index)
        turn = _Turn(index, run.now_s, self._outer.events)
        metadata: Values = {"iteration_id": node_id, "iteration_index": index}
        if self._parallel and self._rules.next_after_turn:
            turn.run_id = run.random.nonce()
            metadata = {"iteration_id": node_id, "parallel_mode_run_id": turn.run_id}
        elif self._parallel:
            turn.events = []
        pool = {**self._outer.pool, node_id: {"item": self._items[index], "index": index}}
        place = self._outer.place._replace(
            iteration_id=node_id, turn=index, parallel_run_id=turn.run_id
        )
        self._begin(turn, pool, place, metadata)

    def turn_ended(self, turn: _Turn, error: str | None) -> None:
        mode = self._data.get("error_handle_mode")
        outlived = mode in ("continue-on-error", "remove-abnormal-output")
        output = find(turn.scope.pool, _path(self._data.get("output_selector")))
        absent = self._rules.container_errors.get("output_absent")
        if error is None and output is ABSENT and absent:
            error, outlived = absent, False
        if error is not None and not outlived:
            self._completed({"output": self._output()}, error, iteration_duration_map=self._seconds)
            return
        if error is None:
            self._results[turn.index] = None if output is ABSENT else output
        elif mode == "continue-on-error":
            self._results[turn.index] = None
        if error is None and turn.events is not self._outer.events:
            turn.events.sort(key=itemgetter(0))
            self._outer.events += [(self._run.now_s, event) for _, event in turn.events]
        self._go_on(turn)

    def _go_on(self, turn: _Turn) -> None:
        self._count(turn)
        if self._rules.next_after_turn:
            self._next(turn.index + 1, self._results.get(turn.index) or None, turn)
        if len(self._seconds) < len(self._items):
            self._begin_turn()
        else:
            self._completed({"output": self._output()}, None, iteration_duration_map=self._seconds)

    def _output(self) -> list[Any]:
        """The results in the order of the list; lists of them become one."""
        results = [self._results[index] for index in sorted(self._results)]
        lists = [one for one in results if one is not None]
        flat = lists and self._data.get("flatten_output", True)
        if flat and all(isinstance(one, list) for one in lists):
            return [entry for one in lists for entry in one]
        return results


class Loop(_Container):
    """Turns with common variables, until a condition holds or a node says so, or all are done."""

    def __init__(self, running: Running) -> None:
        super().__init__(running)
        node_id = self._node.node_id
        self._variables: dict[str, Any] = {}
        self._kept: dict[str, Values] = {}
        self._reason = "loop_completed"
        for entry in self._data.get("loop_variables") or ():
            value = self._initial(entry)
            if value is None:
                text = self._rules.container_errors["loop_variable"]
                self._end(None, text.format(name=entry.get("label")), None)
                return
            self._variables[str(entry.get("label"))] = value
        count = self._data.get("loop_count")
        self._count_of_turns = count if isinstance(count, int) and count > 0 else 0
        inputs = {"loop_count": count, **self._variables}
        self._outer.pool[node_id] = self._variables
        self._started(inputs, self._count_of_turns)
        if self._rules.breaks_before_turn and self._breaks():
            self._count_of_turns = self._length = 0
            self._reason = "loop_break"
        self._begin_turn(0)

    def _initial(self, entry: Mapping[str, Any]) -> Any:
        """The value with which a variable of the loop begins; None where there is none."""
        value = entry.get("value")
        if entry.get("value_type") == "variable":
            return read(self._outer.pool, _path(value))
        kind = str(entry.get("var_type"))
        if isinstance(value, str) and kind != "string":
            try:
                return json.loads(value)
            except ValueError:
                return value
        if value is None:
            return "" if kind == "string" else None
        return value

    def _begin_turn(self, index: int) -> None:
        if index == self._count_of_turns:
            self._completed(self._outputs(index), None, **self._metadata())
            return
        node_id = self._node.node_id
        metadata = {"loop_id": node_id, "loop_index": index}
        turn = _Turn(index, self._run.now_s, self._outer.events)
        place = self._outer.place._replace(loop_id=node_id, turn=index)
        self._begin(turn, self._outer.pool, place, metadata)

    def turn_ended(self, turn: _Turn, error: str | None) -> None:
        if error is not None:
            self._reason = "error"
            self._completed({}, error, **self._metadata())
            return
        self._count(turn)
        self._kept[str(turn.index)] = dict(self._variables)
        broken = self._breaks()
        if broken or turn.scope.left_by == "loop-end":
            self._reason = "loop_break" if broken or self._rules.next_after_turn else self._reason
            self._completed(self._outputs(turn.index + 1), None, **self._metadata())
            return
        self._next(turn.index + 1, self._outputs(turn.index + 1))
        self._begin_turn(turn.index + 1)

    def _breaks(self) -> bool:
        """Whether the conditions for its end hold; values that cannot be compared do not hold."""
        conditions = self._data.get("break_conditions")
        if not conditions:
            return False
        operator = self._data.get("logical_operator") or "and"
        try:
            return conditions_hold(conditions, operator, self._outer.pool, self._run.spec)
        except MALFORMED:
            return False

    def _outputs(self, turns: int) -> Values:
        return {**self._variables, "loop_round": turns} if turns else {}

    def _metadata(self) -> dict[str, Any]:
        return {
            "completed_reason": self._reason,
            "loop_duration_map": self._seconds,
            "loop_variable_map": self._kept,
        }


def _path(selector: Any) -> list[str]:
    return [str(one) for one in selector] if selector and isinstance(selector, list) else [""]


CONTAINERS = {"iteration": Iteration, "loop": Loop}
