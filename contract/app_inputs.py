"""Inputs for a run of any app, made for the start variables of its export. Whatever is wrong is
found before a request is sent, all of it at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from contract.target import PROMPT
from dify_wire.text_file import SpecError
from dify_wire.yaml_file import load_yaml, parse_yaml

_TEXTS = ("text-input", "paragraph")
_FILES = ("file", "file-list")


def given_inputs(inputs: Path | None, app_file: Path | None) -> Mapping[str, Any] | None:
    """The inputs in a JSON or YAML file, with what the export ``app_file`` requires beside them;
    None without a file. Raises ``SpecError``.
    """
    values = load_yaml(inputs) if inputs is not None else None
    return values if app_file is None else inputs_of_app(app_file, values or {})


def inputs_of_app(path: Path, given: Mapping[str, Any]) -> dict[str, Any]:
    """A value for each start variable that the export at ``path`` requires, but for those that are
    ``given``. Raises ``SpecError`` for a file that is not an export, and for variables for which
    no value can be made.
    """
    values = dict(given)
    variables = start_variables(path, exported_app(path)[1])
    known = {str(variable.get("variable")) for variable in variables}
    problems = [
        f"{name} is not a variable of this app; take it out of --inputs"
        for name in given
        if name not in known
    ]
    for variable in variables:
        name = str(variable.get("variable"))
        if name in values or not variable.get("required"):
            continue
        try:
            values[name] = _value(variable)
        except ValueError as error:
            problems.append(f"{name} {error}; give it with --inputs")
    if problems:
        raise SpecError(path, "start variables", ". ".join(problems))
    return values


def exported_app(path: Path) -> tuple[str, list[Mapping[str, Any]]]:
    """The name of the app exported to ``path``, and the data of its nodes. Raises ``SpecError``."""
    document: Any = load_yaml(path)
    if "data" in document and "workflow" not in document:  # as the API of Dify's console has it
        document = document["data"]
        if isinstance(document, str):
            document = parse_yaml(path, document, "data")
    try:
        nodes = [node["data"] for node in document["workflow"]["graph"]["nodes"]]
        name = str((document.get("app") or {}).get("name") or path.stem)
        if all(isinstance(node, Mapping) for node in nodes):
            return name, nodes
    except (KeyError, TypeError, AttributeError):
        pass
    message = "this is not an exported workflow app; export one from the studio (Export DSL)"
    raise SpecError(path, "workflow.graph.nodes", message)


def start_variables(path: Path, nodes: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The start variables among ``nodes``, as the export has them. Raises ``SpecError``."""
    starts = [node for node in nodes if node.get("type") == "start"]
    variables = [one for node in starts for one in node.get("variables") or ()]
    if not all(isinstance(one, Mapping) and one.get("variable") for one in variables):
        raise SpecError(path, "start variables", "each needs its name under `variable`")
    return variables


def _value(variable: Mapping[str, Any]) -> Any:
    """A value that the host takes for ``variable``. Raises ``ValueError`` where none is known."""
    kind, limit = variable.get("type"), variable.get("max_length")
    if kind in _TEXTS:
        return PROMPT[:limit] if isinstance(limit, int) and limit > 0 else PROMPT
    if kind == "select":
        options = variable.get("options")
        if not isinstance(options, list) or not options:
            raise ValueError("is a list without options")
        return options[0]
    if kind == "number":
        return 3
    if kind == "checkbox":
        return True
    if kind == "json_object":
        return _json_object(variable)
    if kind in _FILES:
        raise ValueError(f"is a {kind}, which has to be uploaded first")
    raise ValueError(f"is of the unknown type {kind!r}")


def _json_object(variable: Mapping[str, Any]) -> dict[str, Any]:
    schema = variable.get("json_schema")
    if isinstance(schema, Mapping) and schema.get("required"):
        raise ValueError("is an object with a schema")
    return {}
