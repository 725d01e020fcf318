"""An if-else node, and the conditions of other nodes."""

from __future__ import annotations

from typing import Any

from dify_wire.strict import Field
from fake_server.workflow.expressions import OPERATORS, read
from fake_server.workflow.nodes.kind import NodeCall, NodeOutcome, check_selector


def check_if_else(data: Field) -> None:
    if operator := data.get("logical_operator"):
        operator.choice(("and", "or"), "logical operator")
    for condition in data["conditions"].entries():
        condition["comparison_operator"].choice(OPERATORS, "comparison")
        if value := condition.get("value"):
            value.text()
        check_selector(condition["variable_selector"])


def run_if_else(call: NodeCall) -> NodeOutcome:
    conditions: list[dict[str, Any]] = []
    for condition in call.node.data["conditions"]:
        actual = read(call.pool, tuple(condition["variable_selector"]))
        conditions.append(
            {
                "actual_value": actual,
                "expected_value": condition.get("value"),
                "comparison_operator": condition["comparison_operator"],
            }
        )
    inputs = {"conditions": conditions}
    results: list[dict[str, Any]] = []
    passed: list[bool] = []
    process_data = {"condition_results": results}
    try:
        for condition in conditions:
            compare = OPERATORS[condition["comparison_operator"]]
            holds = compare(condition["actual_value"], condition["expected_value"])
            results.append({**condition, "result": holds})
            passed.append(holds)
    except (ValueError, TypeError) as error:
        return NodeOutcome(call.seconds, inputs, process_data, error=str(error))
    is_and = call.node.data.get("logical_operator", "and") == "and"
    result = all(passed) if is_and else any(passed)
    handle = "true" if result else "false"
    return NodeOutcome(call.seconds, inputs, process_data, {"result": result}, handle=handle)


def conditions_hold(conditions: Any, operator: str, pool: Any, spec: Any) -> bool:
    results = [
        OPERATORS[one["comparison_operator"]](
            read(pool, tuple(one["variable_selector"])), one.get("value")
        )
        for one in conditions
    ]
    return all(results) if operator == "and" else any(results)
