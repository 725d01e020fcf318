"""The conditions of a rule on a request, read from a file, a call or a header."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from dify_wire.strict import Field, unknown
from fake_server.scenarios.parameters import Bounds, Parameter


class RequestFacts(NamedTuple):
    """What rules look at in a request; the fields of a body are empty where it is not a run."""

    operation: str
    headers: Mapping[bytes, bytes]
    prompt: str = ""
    model: str = ""
    user: str = ""
    mode: str = ""


def facts_of(
    operation: str, headers: Mapping[bytes, bytes], body: Mapping[str, Any]
) -> RequestFacts:
    """The facts of a request whose body may be of any form."""
    inputs = body.get("inputs")
    inputs = inputs if isinstance(inputs, dict) else {}
    return RequestFacts(
        operation,
        headers,
        prompt=str(inputs.get("prompt") or ""),
        model=str(inputs.get("model_name") or ""),
        user=str(body.get("user") or ""),
        mode=str(body.get("response_mode", "blocking")),
    )


class TextCondition(NamedTuple):
    """A condition on a string: equal, containing something, or matched by a regular expression."""

    exact: str | None = None
    contains: str | None = None
    pattern: re.Pattern[str] | None = None

    def holds(self, text: str) -> bool:
        if self.exact is not None:
            return text == self.exact
        if self.contains is not None:
            return self.contains in text
        return self.pattern is not None and self.pattern.search(text) is not None


def read_text_condition(field: Field) -> TextCondition:
    if isinstance(field.value, str):
        return TextCondition(exact=field.value)
    if not isinstance(field.value, dict) or len(field.value) != 1:
        field.fail("expected a string, {contains: text} or {matches: regex}")
    if "contains" in field:
        return TextCondition(contains=field["contains"].text())
    matches = field.only("contains", "matches")["matches"]
    try:
        return TextCondition(pattern=re.compile(matches.text()))
    except (re.error, OverflowError, RecursionError) as error:
        matches.fail(f"this is not a valid regular expression: {error}")


TEXTS = ("prompt", "model", "user")
_MODE = Parameter("mode", str, choices=("blocking", "streaming"))
TIMES = Parameter("times", int, bounds=Bounds(1))
_COUNTED = {
    "call": Parameter("call", int, bounds=Bounds(1)),
    "probability": Parameter("probability", float, bounds=Bounds(0, 1)),
    "seed": Parameter("seed", int),
}
IN_HEADERS = {"times": TIMES, **_COUNTED}
"""What a header, which belongs to one request, can ask for."""

NAMES = ("operation", *TEXTS, "mode", "header", *_COUNTED)


class Conditions(NamedTuple):
    """All conditions of a rule, each None where the rule has none.

    ``call`` is the number of the request among those that satisfy the others, from 1;
    ``probability`` with ``seed`` decides over each of them.
    """

    operation: str | None = None
    mode: str | None = None
    texts: tuple[tuple[str, TextCondition], ...] = ()
    headers: tuple[tuple[bytes, TextCondition], ...] = ()
    call: int | None = None
    probability: float | None = None
    seed: int | None = None

    def hold(self, facts: RequestFacts) -> bool:
        """Whether the request satisfies all but ``call`` and ``probability``."""
        if self.operation is not None and self.operation != facts.operation:
            return False
        if self.mode is not None and self.mode != facts.mode:
            return False
        for name, text in self.texts:  # loops, because every request meets every rule
            if not text.holds(getattr(facts, name)):
                return False
        for header, text in self.headers:
            if not text.holds(facts.headers.get(header, b"").decode("latin-1")):
                return False
        return True

    @property
    def exact_text(self) -> tuple[str, str] | None:
        """A text that a request must have, after the name of the fact; None for no such text."""
        return next(((name, one.exact) for name, one in self.texts if one.exact is not None), None)

    @property
    def uncounted(self) -> Conditions:
        """Those that do not depend on a number or on chance."""
        return self._replace(call=None, probability=None, seed=None)


def read_conditions(when: Field, operations: tuple[str, ...]) -> Conditions:
    """The conditions under ``when``. Raises ``ScenarioError``."""
    for name, field in when.items():
        if name not in NAMES:
            field.fail(unknown("condition", name, NAMES))
    headers = when["header"].items() if "header" in when else ()
    return Conditions(
        operation=when["operation"].choice(operations, "operation")
        if "operation" in when
        else None,
        mode=_MODE.read(when["mode"]) if "mode" in when else None,
        texts=tuple((name, read_text_condition(when[name])) for name in TEXTS if name in when),
        headers=tuple(
            (name.lower().encode("latin-1", "replace"), read_text_condition(field))
            for name, field in headers
        ),
        **{name: one.read(when[name]) for name, one in _COUNTED.items() if name in when},
    )


def schema(operations: tuple[str, ...]) -> Mapping[str, Any]:
    """The JSON Schema of ``when``."""
    text = {
        "anyOf": [
            {"type": "string"},
            {
                "type": "object",
                "minProperties": 1,
                "maxProperties": 1,
                "additionalProperties": False,
                "properties": {
                    "contains": {"type": "string"},
                    "matches": {"type": "string", "format": "regex"},
                },
            },
        ]
    }
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "operation": {"enum": list(operations)},
            **dict.fromkeys(TEXTS, text),
            "mode": _MODE.schema,
            "header": {"type": "object", "additionalProperties": text},
            **{name: one.schema for name, one in _COUNTED.items()},
        },
    }
