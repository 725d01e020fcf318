"""The start variables of a run: what the user's inputs become (FACTS 3.3 of later versions).

Each variable is checked in the order of declaration; only then are files looked up, single ones
before lists.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fake_server.host_spec import HostError, HostErrors, HostSpec, RequestRules
from fake_server.http.validation_text import Invalid, validation_text
from fake_server.workflow.model import StartVariable

if TYPE_CHECKING:
    from fake_server.runs.input_files import FileFinder

FILE, FILES = "file", "file-list"
_REQUIRED = "input_required"
_TRUE, _FALSE = ("true", "1", "yes", "on"), ("false", "0", "no", "off")


def cleaned_inputs(
    variables: Sequence[StartVariable],
    inputs: Mapping[Any, Any],
    finder: Callable[[], FileFinder],
    spec: HostSpec,
) -> dict[str, Any]:
    """The value of each variable by its name. Raises ``HostError``.

    ``finder`` makes what finds files, for inputs that name any.
    """
    rules, errors = spec.request, spec.errors
    for variable in variables:
        if variable.type not in rules.variable_types:
            raise _unknown_type(variable, rules, errors)
    cleaned: dict[str, Any] = {}
    nested = False
    for variable in variables:
        value = cleaned[variable.name] = _value(variable, inputs.get(variable.name), rules, errors)
        nested = nested or isinstance(value, dict | list)
    if nested:
        cleaned |= _found(variables, cleaned, finder())
        _check_objects(variables, cleaned, rules, errors)
    return cleaned


def _found(
    variables: Sequence[StartVariable], values: Mapping[str, Any], finder: FileFinder
) -> dict[str, Any]:
    """The files that ``values`` name."""
    found: dict[str, Any] = {}
    for variable in variables:
        if variable.type == FILE and values[variable.name] is not None:
            found[variable.name] = finder.file(variable, values[variable.name])
    for variable in variables:
        if variable.type == FILES and values[variable.name] is not None:
            found[variable.name] = finder.files(variable, values[variable.name])
    return found


def _unknown_type(variable: StartVariable, rules: RequestRules, errors: HostErrors) -> HostError:
    """A type that only later versions know: the host cannot read the app."""
    *most, last = (f"'{name}'" for name in rules.variable_types)
    message = f"Input should be {', '.join(most)} or {last}"
    problem = Invalid("type", message, "enum", variable.type)
    text = validation_text("VariableEntity", [problem], rules.pydantic)
    return errors("value_error", message=text)


def _value(variable: StartVariable, value: Any, rules: RequestRules, errors: HostErrors) -> Any:
    if (
        value is None
        or (not value and rules.falsy_input_error == _REQUIRED)
        or (value == "" and rules.empty_input_error == _REQUIRED)
    ):
        if variable.required:
            raise errors("input_required", variable=variable.name)
        if rules.defaults == "text":
            return variable.default if variable.default is not None else ""
        value = variable.default if rules.defaults == "used" else None
        if value is None:
            return None
    match variable.type:
        case "text-input" | "paragraph" | "select":
            _check_text(variable, value, errors)
        case "file" | "file-list":
            value = _files(variable, value, rules, errors)
        case "number" if rules.numbers != "text":
            value = _number(variable, value, rules, errors)
        case "checkbox":
            value = _boolean(value)
        case "json_object":
            if value and not isinstance(value, dict):
                raise errors("input_not_object", variable=variable.name)
        case _:
            _check_text(variable, value, errors)
    return value.replace("\x00", "") if isinstance(value, str) else value


def _check_text(variable: StartVariable, value: Any, errors: HostErrors) -> None:
    if not isinstance(value, str):
        raise errors("input_not_string", variable=variable.name, type=variable.type)
    if variable.type == "select":
        options = list(variable.options or ())
        if value not in options:
            raise errors("input_not_in_options", variable=variable.name, options=options)
    elif variable.max_length and len(value) > variable.max_length:
        raise errors("input_too_long", variable=variable.name, max_length=variable.max_length)


def _number(variable: StartVariable, value: Any, rules: RequestRules, errors: HostErrors) -> Any:
    if isinstance(value, str):
        if not value.strip():
            return None
        try:
            return float(value) if "." in value else int(value)
        except ValueError:
            raise errors("input_not_number", variable=variable.name) from None
    if rules.numbers == "checked" and not isinstance(value, int | float):
        raise errors("internal_server_error")
    if rules.numbers == "converted" and isinstance(value, bool):
        return int(value)  # these versions know no boolean variables [C: types_n_12]
    return value


def _boolean(value: Any) -> Any:
    """A boolean where the value means one; any other passes as it is [C: types_k_10]."""
    if isinstance(value, str):
        word = value.strip().lower()
        return True if word in _TRUE else False if word in _FALSE else value
    if isinstance(value, int | float):
        return True if value == 1 else False if value == 0 else value
    return value


def _files(variable: StartVariable, value: Any, rules: RequestRules, errors: HostErrors) -> Any:
    if value == "" and not variable.required and rules.empty_file_is_null:
        return None
    if variable.type == FILE:
        if not isinstance(value, dict):
            raise errors("input_not_file", variable=variable.name)
        return value
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise errors("input_not_files", variable=variable.name)
    if variable.max_length and len(value) > variable.max_length:
        raise errors("input_too_many_files", variable=variable.name, limit=variable.max_length)
    return value


def _check_objects(
    variables: Sequence[StartVariable],
    values: Mapping[str, Any],
    rules: RequestRules,
    errors: HostErrors,
) -> None:
    """Refuse objects where a variable of another type has them [C: types_n_14]."""
    objects = [
        one.name
        for one in variables
        if one.type != "json_object" and isinstance(values[one.name], dict)
    ]
    if not objects and not rules.objects_in_lists:
        objects = [
            one.name
            for one in variables
            if isinstance(values[one.name], list)
            and any(isinstance(entry, dict) for entry in values[one.name])
        ]
    if objects:
        raise errors("input_type_invalid", variables=objects)
