"""Nodes that decide how a run goes: start, conditions, forms for a human, end, answer of a chat."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dify_wire.strict import Field
from fake_server.host_spec import HostSpec, NodeRules
from fake_server.runs.values import FileRef, InputFile
from fake_server.workflow.expressions import (
    ABSENT,
    OPERATORS,
    Pool,
    check_size,
    convert,
    file_attributes,
    find,
    text_of,
)
from fake_server.workflow.json_objects import schema_error
from fake_server.workflow.nodes.kind import NodeCall, NodeOutcome, check_selector

if TYPE_CHECKING:
    from fake_server.workflow.model import Node, StartVariable

_CHECKED_VALUES = 10
"""More values than these can be too large together where none of them is."""

_OF_PRESENCE = frozenset({"empty", "not empty", "null", "not null", "exists", "not exists"})
"""The comparisons that ask whether there is a value."""

_UNIT_S = {"hour": 3600, "day": 86400}
_AND = "and"
_OF_FILES = ("contains", "not contains", "all of")
_NAMED_WITHOUT_VALUE = ("exists", "not exists")


def run_start(call: NodeCall) -> NodeOutcome:
    """Hosts before 0.15 clean the variables again here: NUL may have left nothing of one
    (FACTS 12.8).
    """
    inputs = {name: call.inputs[name] for name in call.inputs if not name.startswith("sys.")}
    if call.spec.nodes.start_cleans:
        try:
            for variable in call.variables:
                inputs[variable.name] = _cleaned(variable, inputs[variable.name])
        except ValueError as error:
            return NodeOutcome(call.seconds, error=str(error))
    for variable in call.variables:
        value = inputs.get(variable.name)
        if variable.type == "json_object" and variable.json_schema and value:
            problem = schema_error(variable.json_schema, value)
            if problem is not None:
                refusal = f"JSON object for '{variable.name}' does not match schema: {problem}"
                return NodeOutcome(call.seconds, error=refusal, error_type="ValueError")
    for key in call.spec.nodes.start_values:
        if f"sys.{key}" in call.inputs:
            inputs[f"sys.{key}"] = call.inputs[f"sys.{key}"]
    return NodeOutcome(call.seconds, inputs=inputs, outputs=inputs)


def _cleaned(variable: StartVariable, value: Any) -> Any:
    """Raises ``ValueError`` with the host's text; a default is returned unchecked."""
    name, limit = variable.name, variable.max_length
    if not value:
        if variable.required:
            raise ValueError(f"Input form variable {name} is required")
        return variable.default or ""
    if variable.options is not None:
        if value not in variable.options:
            options = list(variable.options)
            raise ValueError(f"{name} in input form must be one of the following: {options}")
    elif limit is not None and isinstance(value, str) and len(value) > limit:
        raise ValueError(f"{name} in input form must be less than {limit} characters")
    return value


def check_end(data: Field) -> None:
    if outputs := data.get("outputs"):
        for output in outputs.entries():
            output["variable"].text()
            output["value_selector"].texts()


def run_end(call: NodeCall) -> NodeOutcome:
    values = {
        output["variable"]: call.value(output.get("value_selector"))
        for output in call.node.data.get("outputs") or ()
    }
    if len(values) > _CHECKED_VALUES:
        check_size(list(values.values()))
    return NodeOutcome(call.seconds, inputs=values, outputs=values)


def run_answer(call: NodeCall) -> NodeOutcome:
    answer = text_of(call.text(call.node.data.get("answer") or ""))
    return NodeOutcome(call.seconds, outputs={"answer": answer})


def run_nothing(call: NodeCall) -> NodeOutcome:
    """A node that only marks a place: the start of an iteration, the end of a loop."""
    return NodeOutcome(call.seconds, outputs={})


def run_fixed(call: NodeCall) -> NodeOutcome:
    """A node whose outputs stand in the file."""
    return NodeOutcome(call.seconds, outputs={})


def run_human_input(call: NodeCall) -> NodeOutcome:
    """A form that somebody fills in: the run pauses until then [C: human_stream]."""
    data = call.node.data
    fields, defaults = [], {}
    for field in data.get("inputs") or ():
        name, default = field.get("output_variable_name"), field.get("default")
        shown = {"type": field.get("type"), "output_variable_name": name, "default": default}
        if isinstance(default, Mapping):
            shown["default"] = {
                "type": default.get("type"),
                "selector": default.get("selector") or [],
                "value": default.get("value", ""),
            }
            if default.get("type") == "variable":
                defaults[name] = call.value(default.get("selector"))
        fields.append(call.picked("HumanInputField", shown))
    actions = [
        {key: action.get(key) for key in ("id", "title", "button_style")}
        for action in data.get("user_actions") or ()
    ]
    unit_s = _UNIT_S.get(str(data.get("timeout_unit")), 86400)
    methods = [one for one in data.get("delivery_methods") or () if isinstance(one, Mapping)]
    form: dict[str, Any] = {
        "form_content": convert(str(data.get("form_content") or ""), call.pool),
        "inputs": fields,
        "actions": actions,
        "display_in_ui": any(one.get("enabled") and one.get("type") == "webapp" for one in methods),
        "resolved_default_values": defaults,
        "expires_s": float(data.get("timeout") or 3) * unit_s,
    }
    return NodeOutcome(call.seconds, form=form)


# conditions


def check_if_else(data: Field) -> None:
    cases = data.get("cases")
    for place in [data] if cases is None else cases.entries():
        _check(place, place["conditions"] if cases is None else place.get("conditions"))


def check_iteration(data: Field) -> None:
    for key in ("iterator_selector", "output_selector"):
        if selector := data.get(key):
            selector.texts()


def check_loop(data: Field) -> None:
    _check(data, data.get("break_conditions"))
    variables = data.get("loop_variables")
    for variable in variables.entries() if variables else ():
        variable["label"].text()
        if (value := variable.get("value")) and variable.value.get("value_type") == "variable":
            value.texts()


def _check(place: Field, conditions: Field | None) -> None:
    if operator := place.get("logical_operator"):
        operator.choice((_AND, "or"), "logical operator")
    for condition in () if conditions is None else conditions.entries():
        if operator := condition.get("comparison_operator"):
            operator.choice(OPERATORS, "comparison")
        if condition["variable_selector"].texts():
            check_selector(condition["variable_selector"])


def run_if_else(call: NodeCall) -> NodeOutcome:
    """Leaves by the id of the first case that holds, else by ``false``. An export of before 0.6.10
    has one case without a name.
    """
    rules, pool, cases = call.spec.nodes, call.pool, call.node.data.get("cases")
    inputs: dict[str, Any] = {"conditions": []}
    shown: list[dict[str, Any]] = []
    process_data = {"condition_results": shown}
    chosen, holds, error = None, False, None
    for case in [call.node.data] if cases is None else cases:
        conditions: list[dict[str, Any]] = []
        results: list[bool] = []
        case_id = "true" if cases is None else str(case.get("case_id") or case.get("id"))
        operator = case.get("logical_operator") or _AND
        try:
            holds = _hold(
                case.get("conditions") or (),
                operator,
                pool,
                rules,
                shown=conditions,
                results=results,
            )
        except (ValueError, TypeError) as refusal:
            error = refusal
        if not rules.cases:
            inputs["conditions"] = conditions
            for condition, result in zip(conditions, results, strict=False):
                shown.append({**condition, "result": result})
        elif error is None:
            inputs["conditions"] = conditions
            group = "default" if cases is None else _shown(case_id, case)
            shown.append({"group": group, "results": results, "final_result": holds})
        if holds:
            chosen = case_id
        if holds or error is not None:
            break
    if error is not None:
        kind = type(error).__name__
        return NodeOutcome(call.seconds, inputs, process_data, error=str(error), error_type=kind)
    no_case = "false" if cases is None else rules.no_case
    outputs = call.picked("IfElseOutputs", {"result": holds, "selected_case_id": chosen or no_case})
    return NodeOutcome(call.seconds, inputs, process_data, outputs, handle=chosen or "false")


def if_else_passes_on(node: Node, _: HostSpec) -> bool:
    """Whether it only looks which values there are."""
    cases = node.data.get("cases")
    conditions = [
        condition
        for case in ([node.data] if cases is None else cases)
        for condition in case.get("conditions") or ()
    ]
    return all(
        one.get("comparison_operator") in _OF_PRESENCE and not one.get("sub_variable_condition")
        for one in conditions
    )


def _shown(case_id: str, case: Mapping[str, Any]) -> Mapping[str, Any]:
    """A case as the host knows it, without what only the editor needs."""
    return {
        "case_id": case_id,
        "logical_operator": case.get("logical_operator") or _AND,
        "conditions": [
            {
                "variable_selector": condition.get("variable_selector"),
                "comparison_operator": condition.get("comparison_operator"),
                "value": condition.get("value"),
                "sub_variable_condition": _sub_condition(condition.get("sub_variable_condition")),
            }
            for condition in case.get("conditions") or ()
        ],
    }


def _sub_condition(sub: Any) -> Any:
    if not isinstance(sub, Mapping):
        return None
    conditions = [
        {key: one.get(key) for key in ("key", "comparison_operator", "value")}
        for one in sub.get("conditions") or ()
    ]
    return {"logical_operator": sub.get("logical_operator") or _AND, "conditions": conditions}


def conditions_hold(
    conditions: Sequence[Mapping[str, Any]], operator: str, pool: Pool, spec: HostSpec
) -> bool:
    """Whether ``conditions``, joined by ``and`` or ``or``, hold for the values of ``pool``. Raises
    ``ValueError`` or ``TypeError`` with the host's text.
    """
    return _hold(conditions, operator, pool, spec.nodes, shown=[], results=[])


def _hold(
    conditions: Sequence[Mapping[str, Any]],
    operator: str,
    pool: Pool,
    rules: NodeRules,
    *,
    shown: list[dict[str, Any]],
    results: list[bool],
) -> bool:
    """Also adds each condition with its values to ``shown``, and what came of it to ``results``."""
    if not rules.cases:  # 0.6 reads all values before it compares any
        shown += [_values(one, pool, rules) for one in conditions]
    for index, condition in enumerate(conditions):
        values = _values(condition, pool, rules) if rules.cases else shown[index]
        actual, name = values["actual_value"], str(values["comparison_operator"])
        sub = condition.get("sub_variable_condition")
        if isinstance(sub, dict) and name in _OF_FILES and isinstance(actual, list):
            result = files_hold(actual, sub)
        else:
            if rules.cases and name not in _NAMED_WITHOUT_VALUE:
                shown.append(values)
            if name not in OPERATORS:
                raise ValueError(f"Unsupported operator: {name}")
            result = OPERATORS[name](actual, values["expected_value"])
        results.append(result)
        if rules.short_circuit and result is (operator != _AND):
            return result
    return all(results) if operator == _AND else any(results)


def _values(condition: Mapping[str, Any], pool: Pool, rules: NodeRules) -> dict[str, Any]:
    if not isinstance(condition, dict):
        raise ValueError(f"{condition!r} is no condition")
    actual, expected = (
        find(pool, condition.get("variable_selector") or ("",)),
        condition.get("value"),
    )
    if actual is ABSENT:
        if rules.cases:
            raise ValueError(f"Variable {condition.get('variable_selector')} not found")
        actual = None
    if rules.cases and isinstance(expected, str):
        expected = convert(expected, pool)
    return {
        "actual_value": actual,
        "expected_value": expected,
        "comparison_operator": condition.get("comparison_operator"),
    }


def files_hold(files: Sequence[Any], sub: Mapping[str, Any]) -> bool:
    """Whether the attributes of ``files`` are as a condition on them says."""
    results = []
    for condition in sub.get("conditions") or ():
        operator = str(condition.get("comparison_operator"))
        compare = OPERATORS.get(operator)
        if compare is None:
            raise ValueError(f"Unsupported operator: {operator}")
        each = [
            compare(file_attributes(file).get(condition.get("key")), condition.get("value"))
            for file in files
            if isinstance(file, FileRef | InputFile)
        ]
        results.append(all(each) if "not" in operator else any(each))
    return all(results) if sub.get("logical_operator", _AND) == _AND else any(results)
