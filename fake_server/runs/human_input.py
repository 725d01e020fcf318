"""A node that waits for somebody to fill in a form (Dify from 1.13 on)
[C: human_stream, human_events_resume].
"""

from __future__ import annotations

from typing import Any

from fake_server.runs.events import HumanInputFilled, Values
from fake_server.runs.random_values import RandomValues
from fake_server.workflow.nodes import NodeOutcome

_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_LENGTH = 22


def opened(form: Values, random: RandomValues, now_s: float) -> Values:
    """The form with the ids by which it is found again, and the second at which it expires."""
    token = "".join(random.choice(_BASE62) for _ in range(_LENGTH))
    expires_s = now_s + form["expires_s"]
    return {"form_id": random.uuid(), **form, "form_token": token, "expires_s": expires_s}


def answered(filled: HumanInputFilled, values: Values) -> NodeOutcome:
    """How the node ends once its form is filled in with ``values``."""
    return NodeOutcome(
        0.0,
        inputs={
            name: {"value_type": _type(value), "value": value} for name, value in values.items()
        },
        outputs={
            **values,
            "__action_id": filled.action_id,
            "__rendered_content": filled.rendered_content,
            "__action_value": filled.action_text,
        },
        handle=filled.action_id,
    )


def _type(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    return "string" if isinstance(value, str) else "object"
