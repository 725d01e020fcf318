"""Nodes that only move values: templates, aggregators, assigners, lists."""

from __future__ import annotations

import json
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fake_server.runs.values import FileRef, InputFile
from fake_server.workflow.expressions import ABSENT, OPERATORS, check_size, file_attributes, plain
from fake_server.workflow.model import Selector
from fake_server.workflow.nodes.kind import NodeCall, NodeOutcome


def run_template(call: NodeCall) -> NodeOutcome:
    from fake_server.workflow.jinja import TemplateError, render

    inputs = call.variables_of_data()
    try:
        text = render(str(call.node.data.get("template") or ""), plain(inputs), call.steps)
    except TemplateError as error:
        return NodeOutcome(call.seconds, inputs, error=str(error), error_type="CodeExecutionError")
    most = call.spec.nodes.template_characters
    if len(text) > most:
        error_text = f"Output length exceeds {most} characters"
        return NodeOutcome(call.seconds, inputs, error=error_text, error_type="ValueError")
    return NodeOutcome(call.seconds, inputs, outputs={"output": text})


def run_aggregator(call: NodeCall) -> NodeOutcome:
    """Passes on the first of its variables that has a value: that of the branch that ran."""
    settings = call.node.data.get("advanced_settings") or {}
    if not settings.get("group_enabled"):
        selector, value = _first(call, call.node.data.get("variables"))
        inputs = {} if selector is None else {".".join(selector[1:]): value}
        return NodeOutcome(
            call.seconds, inputs, outputs={} if selector is None else {"output": value}
        )
    inputs, outputs = {}, {}
    for group in settings.get("groups") or ():
        selector, value = _first(call, group.get("variables"))
        if selector is not None:
            outputs[str(group.get("group_name"))] = {"output": value}
            inputs[".".join(selector[1:])] = value
    return NodeOutcome(call.seconds, inputs, outputs=outputs)


def _first(call: NodeCall, selectors: Any) -> tuple[Sequence[str] | None, Any]:
    for selector in selectors if isinstance(selectors, list) else ():
        value = call.find(selector)
        if value is not ABSENT:
            return selector, value
    return None, None


def run_assigner(call: NodeCall) -> NodeOutcome:
    """Sets variables of a loop or a conversation, by one of two forms of its data."""
    if "items" in call.node.data:
        items = [one for one in call.node.data.get("items") or () if isinstance(one, Mapping)]
        inputs: dict[str, Any] = {"items": items}
    else:
        operation = str(call.node.data.get("write_mode") or "over-write")
        source = call.node.data.get("input_variable_selector")
        items = [
            {
                "variable_selector": call.node.data.get("assigned_variable_selector"),
                "input_type": "variable",
                "operation": operation,
                "value": source,
            }
        ]
        inputs = {}
    writes: dict[Selector, Any] = {}
    try:
        for item in items:
            selector = tuple(str(key) for key in item.get("variable_selector") or ())
            current = writes.get(selector, call.find(selector))
            if current is ABSENT:
                raise ValueError(f"Variable {list(selector)} not found")
            writes[selector] = _assigned(call, item, current, writes)
            check_size(writes[selector])
    except (ValueError, TypeError, ArithmeticError) as error:
        return NodeOutcome(
            call.seconds, inputs, error=str(error), error_type="VariableOperatorNodeError"
        )
    changed = {selector[-1]: value for selector, value in writes.items()}
    if "items" not in call.node.data:
        inputs = {"value": next(iter(writes.values()), None)}
        return NodeOutcome(call.seconds, inputs, outputs={}, writes=tuple(writes.items()))
    return NodeOutcome(
        call.seconds, inputs, process_data=changed, outputs={}, writes=tuple(writes.items())
    )


def _assigned(
    call: NodeCall, item: Mapping[str, Any], current: Any, writes: Mapping[Selector, Any]
) -> Any:
    """The value that ``item`` gives its variable; it reads what the items before it wrote."""
    operation, value = str(item.get("operation") or "over-write"), item.get("value")
    if item.get("input_type") == "variable" and operation != "clear" and value is not None:
        written = tuple(str(key) for key in value) if isinstance(value, list) else ()
        found = writes[written] if written in writes else call.find(value)
        if found is ABSENT:
            raise ValueError(f"Variable {value} not found")
        if found is None:
            return current
        value = found
    change = _OPERATIONS.get(operation)
    if (
        change is None
        or (operation.endswith("=") and not _is_number(current))
        or (operation in _OF_LISTS and not isinstance(current, list | tuple))
    ):
        raise ValueError(f"Operation {operation} is not supported for this variable")
    if (operation.endswith("=") and not _is_number(value)) or (
        operation == "extend" and not isinstance(value, list | tuple)
    ):
        raise ValueError(f"Invalid input value {value!r}")
    return change(current, value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _replaced(current: Any, value: Any) -> Any:
    """``value`` in the place of ``current``; an object may be given as its JSON."""
    if not (isinstance(current, Mapping) and isinstance(value, str)):
        return value
    try:
        return json.loads(value)
    except ValueError:
        raise ValueError(f"Invalid input value {value!r}") from None


def _cleared(value: Any) -> Any:
    if isinstance(value, list):
        return []
    if isinstance(value, bool):
        return False
    if isinstance(value, int | float):
        return 0
    return {} if isinstance(value, Mapping) else ""


_OF_LISTS = frozenset({"append", "extend", "remove-first", "remove-last"})

_OPERATIONS: Mapping[str, Callable[[Any, Any], Any]] = {
    "over-write": _replaced,
    "set": _replaced,
    "clear": lambda current, _: _cleared(current),
    "append": lambda current, value: [*current, value],
    "extend": lambda current, value: [*current, *value],
    "remove-first": lambda current, _: list(current)[1:],
    "remove-last": lambda current, _: list(current)[:-1],
    "+=": operator.add,
    "-=": operator.sub,
    "*=": operator.mul,
    "/=": operator.truediv,
}


def run_list_operator(call: NodeCall) -> NodeOutcome:
    """Filters, picks from, orders and cuts a list of texts, numbers or files."""
    selector = call.node.data.get("variable")
    value = call.find(selector)
    if value is ABSENT:
        return NodeOutcome(call.seconds, {}, error=f"Variable not found for selector: {selector}")
    entries = list(value) if isinstance(value, list) else []
    shown = {"variable": entries}
    try:
        entries = _listed(call, entries)
    except (ValueError, TypeError) as error:
        return NodeOutcome(
            call.seconds, shown, shown, error=str(error), error_type="ListOperatorError"
        )
    outputs = {
        "result": entries,
        "first_record": entries[0] if entries else None,
        "last_record": entries[-1] if entries else None,
    }
    return NodeOutcome(call.seconds, shown, shown, outputs={**outputs})


def _listed(call: NodeCall, entries: list[Any]) -> list[Any]:
    data = call.node.data
    for condition in _part(data, "filter_by").get("conditions") or ():
        name, expected = str(condition.get("comparison_operator")), condition.get("value")
        if name not in OPERATORS:
            raise ValueError(f"Invalid condition: {name}")
        expected = call.text(expected) if isinstance(expected, str) else expected
        key = str(condition.get("key") or "")
        entries = [one for one in entries if OPERATORS[name](_key(one, key), expected or "")]
    if extract := _part(data, "extract_by"):
        serial = int(call.text(extract.get("serial") or "1"))
        if serial < 1:
            raise ValueError(f"Invalid serial index: must be >= 1, got {serial}")
        if serial > len(entries):
            raise ValueError(f"Invalid serial index: must be <= {len(entries)}, got {serial}")
        entries = [entries[serial - 1]]
    if order := _part(data, "order_by"):
        key = str(order.get("key") or "")
        entries = sorted(
            entries, key=lambda one: _key(one, key), reverse=order.get("value") == "desc"
        )
    if limit := _part(data, "limit"):
        entries = entries[: int(limit.get("size") or len(entries))]
    return entries


def _part(data: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """The settings ``name`` of a list operator where they are switched on, else nothing."""
    part = data.get(name)
    return part if isinstance(part, Mapping) and part.get("enabled") else {}


def _key(entry: Any, key: str) -> Any:
    return file_attributes(entry).get(key) if isinstance(entry, FileRef | InputFile) else entry
