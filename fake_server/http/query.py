"""The query of a request, read by the parameters of its operation."""

from __future__ import annotations

from typing import Any

from fake_server.host_spec import HostErrors, QueryParameter
from fake_server.http.request import Request
from fake_server.http.validation_text import Invalid, missing, validation_text

_TRUE = frozenset(("1", "on", "t", "true", "y", "yes"))
_FALSE = frozenset(("0", "off", "f", "false", "n", "no"))


def read_query(request: Request) -> dict[str, Any]:
    """The value of each parameter, a missing one's default. Raises ``HostError`` for the first
    that is wrong, or for all of them where the operation has a model.
    """
    operation, given, errors = request.operation, request.query(), request.spec.errors
    values: dict[str, Any] = {}
    problems: list[Invalid] = []
    for parameter in operation.query:
        value: Any = parameter.default
        if parameter.name in given:
            value = _value(parameter, given[parameter.name], operation.query_model is not None)
        elif parameter.required:
            value = missing(parameter.name, given)
        if not isinstance(value, Invalid):
            values[parameter.name] = value
        elif operation.query_model is None:
            raise _first(parameter, value, errors)
        else:
            problems.append(value)
    if problems:
        text = validation_text(str(operation.query_model), problems)
        raise errors("value_error", message=text)
    return values


def _value(parameter: QueryParameter, text: str, strict: bool) -> Any:
    """The value that ``text`` means, or why it means none."""
    if parameter.type == "integer":
        return _whole_number(parameter, text)
    if parameter.type == "boolean":
        return _truth(parameter, text) if strict else bool(text)  # Python's, so "false" is true
    if parameter.choices and text not in parameter.choices:
        *most, last = map(repr, parameter.choices)
        return Invalid(
            parameter.name, f"Input should be {', '.join(most)} or {last}", "literal_error", text
        )
    return text


def _whole_number(parameter: QueryParameter, text: str) -> Any:
    try:
        number = int(text)
    except ValueError:
        why = "Input should be a valid integer, unable to parse string as an integer"
        return Invalid(parameter.name, why, "int_parsing", text)
    least, most = parameter.minimum, parameter.maximum
    if least is not None and number < least:
        why = f"Input should be greater than or equal to {least}"
        return Invalid(parameter.name, why, "greater_than_equal", text)
    if most is not None and number > most:
        why = f"Input should be less than or equal to {most}"
        return Invalid(parameter.name, why, "less_than_equal", text)
    return number


def _truth(parameter: QueryParameter, text: str) -> Any:
    word = text.lower()
    if word in _TRUE or word in _FALSE:
        return word in _TRUE
    why = "Input should be a valid boolean, unable to interpret input"
    return Invalid(parameter.name, why, "bool_parsing", text)


def _first(parameter: QueryParameter, problem: Invalid, errors: HostErrors) -> Exception:
    """The error of a host that reads one parameter after the other."""
    name, value = parameter.name, problem.value
    if problem.kind == "missing":
        return errors("query_parameter_missing", field=name)
    if problem.kind == "literal_error":
        return errors("choice_invalid", field=name, value=value)
    if problem.kind == "int_parsing":
        return errors("query_integer_invalid", field=name, value=value)
    limits = {"minimum": parameter.minimum, "maximum": parameter.maximum}
    return errors("query_out_of_range", field=name, value=int(str(value)), **limits)
