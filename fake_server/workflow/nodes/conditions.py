"""An if-else node, and the conditions of loops and lists."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dify_wire.strict import Field
from fake_server.host_spec import HostSpec
from fake_server.runs.events import FileRef, InputFile
from fake_server.workflow.expressions import ABSENT, OPERATORS, Pool, convert, file_attributes, find
from fake_server.workflow.nodes.kind import NodeCall, NodeOutcome, check_selector

_AND = "and"
_OF_FILES = ("contains", "not contains", "all of")
_NAMED_WITHOUT_VALUE = ("exists", "not exists")


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
    inputs: dict[str, Any] = {"conditions": []}
    shown: list[dict[str, Any]] = []
    process_data = {"condition_results": shown}
    chosen, holds = None, False
    try:
        for case_id, case in _cases(call.data):
            tested = _Tested(call.pool, call.spec)
            joined_by = case.get("logical_operator") or _AND
            holds = tested.holds(case.get("conditions") or (), joined_by)
            inputs["conditions"] = tested.conditions
            if call.spec.nodes.cases:
                group = "default" if "cases" not in call.data else _shown(case_id, case)
                shown.append({"group": group, "results": tested.results, "final_result": holds})
            else:
                shown += tested.shown()
            if holds:
                chosen = case_id
                break
    except (ValueError, TypeError) as error:
        if not call.spec.nodes.cases:
            inputs["conditions"], shown[:] = tested.conditions, tested.shown()
        return NodeOutcome(
            call.seconds, inputs, process_data, error=str(error), error_type=type(error).__name__
        )
    no_case = call.spec.nodes.no_case if "cases" in call.data else "false"
    outputs = call.picked("IfElseOutputs", {"result": holds, "selected_case_id": chosen or no_case})
    return NodeOutcome(call.seconds, inputs, process_data, outputs, handle=chosen or "false")


def _cases(data: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if "cases" not in data:
        yield "true", data
        return
    for case in data.get("cases") or ():
        yield str(case.get("case_id") or case.get("id") or "true"), case


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
    return _Tested(pool, spec).holds(conditions, operator)


class _Tested:
    """Conditions with their values, and the result of each that was looked at."""

    def __init__(self, pool: Pool, spec: HostSpec) -> None:
        self._pool = pool
        self._rules = spec.nodes
        self.conditions: list[dict[str, Any]] = []
        self.results: list[bool] = []

    def holds(self, conditions: Sequence[Mapping[str, Any]], operator: str) -> bool:
        if not self._rules.cases:  # 0.6 reads all values before it compares any
            self.conditions = [self._values(one) for one in conditions]
        for index, condition in enumerate(conditions):
            values = self.conditions[index] if not self._rules.cases else None
            result = self._holds(condition, values)
            self.results.append(result)
            if self._rules.short_circuit and result is (operator != _AND):
                return result
        return all(self.results) if operator == _AND else any(self.results)

    def shown(self) -> list[dict[str, Any]]:
        """The conditions with their results, as 0.6 shows them."""
        pairs = zip(self.conditions, self.results, strict=False)
        return [{**condition, "result": result} for condition, result in pairs]

    def _values(self, condition: Mapping[str, Any]) -> dict[str, Any]:
        if not isinstance(condition, Mapping):
            raise ValueError(f"{condition!r} is no condition")
        actual = find(self._pool, condition.get("variable_selector") or ("",))
        if actual is ABSENT:
            if self._rules.cases:
                raise ValueError(f"Variable {condition.get('variable_selector')} not found")
            actual = None
        expected = condition.get("value")
        if isinstance(expected, str) and self._rules.cases:
            expected = convert(expected, self._pool)
        return {
            "actual_value": actual,
            "expected_value": expected,
            "comparison_operator": condition.get("comparison_operator"),
        }

    def _holds(self, condition: Mapping[str, Any], known: Mapping[str, Any] | None) -> bool:
        values = known or self._values(condition)
        actual, operator = values["actual_value"], str(values["comparison_operator"])
        sub = condition.get("sub_variable_condition")
        if isinstance(sub, Mapping) and operator in _OF_FILES and isinstance(actual, list):
            return files_hold(actual, sub)
        if known is None and operator not in _NAMED_WITHOUT_VALUE:
            self.conditions.append(dict(values))
        if operator not in OPERATORS:
            raise ValueError(f"Unsupported operator: {operator}")
        return OPERATORS[operator](actual, values["expected_value"])


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
