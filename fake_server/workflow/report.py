"""The report of ``fake-server app check``: what an app takes, what each of its nodes does, what
comes out, and what may be wrong.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from dify_wire.profile import HOST_VERSIONS, REFERENCE_VERSION
from dify_wire.strict import counted
from dify_wire.text_file import printable
from fake_server.host_spec import HostSpec
from fake_server.spec import load_host
from fake_server.workflow.dsl import fitting_version, release, version_problems
from fake_server.workflow.loader import load_workflow
from fake_server.workflow.model import Node, StartVariable, Workflow
from fake_server.workflow.nodes import NODE_KINDS
from fake_server.workflow.nodes.tool import draws_always

_GIVEN = ("outputs", "reply", "text", "json", "response", "branch")
"""What a file may say of a node that only something real could run."""

_MEASURED = {"text-input": "characters", "paragraph": "characters", "file-list": "files"}
"""What the length of a variable of a type counts; other types have none."""

_FILES = ("file", "file-list")
_SHOWN = 200


def checked(
    path: Path, beside: Path | None, host_version: str | None, *, default_app: bool, as_json: bool
) -> str:
    """The report on an app file. Raises ``SpecError`` for one that cannot be used.

    The inputs of the default app are those of the spec.
    """
    rules = load_host(host_version or REFERENCE_VERSION).inputs if default_app else None
    workflow = load_workflow(path, rules, beside=beside)
    if host_version is None:
        fits = fitting_version(workflow) or HOST_VERSIONS[0]
        host_version = max(fits, REFERENCE_VERSION, key=release)
    found = report(workflow, load_host(host_version))
    return json.dumps(found, indent=2, ensure_ascii=False) if as_json else listing(found)


def report(workflow: Workflow, spec: HostSpec) -> dict[str, Any]:
    """The report as JSON data; ``spec`` is that of the host version in question."""
    problems = (*version_problems(workflow, spec), *workflow.warnings)
    return {
        "file": str(workflow.path),
        "name": workflow.name,
        "dsl_version": workflow.dsl_version or None,
        "host_version": spec.version,
        "fits_from": fitting_version(workflow),
        "inputs": [_input(variable) for variable in workflow.variables],
        "nodes": [_node(workflow, node) for node in workflow.nodes.values()],
        "outputs": list(_outputs(workflow)),
        "warnings": [{"place": one.place, "message": one.message} for one in problems],
    }


def _input(variable: StartVariable) -> dict[str, Any]:
    limits = {
        "max_length": variable.max_length if variable.type in _MEASURED else None,
        "options": list(variable.options or ()),
        "default": variable.default,
        "file_types": list(variable.file_types) if variable.type in _FILES else None,
        "json_schema": variable.json_schema,
    }
    known = {name: value for name, value in limits.items() if value not in (None, "", [])}
    described = {"name": variable.name, "type": variable.type, "required": variable.required}
    return {**described, **known}


def _node(workflow: Workflow, node: Node) -> dict[str, Any]:
    outer = workflow.nodes[node.parent].title if node.parent else None
    names = {"id": node.node_id, "title": node.title, "type": node.type}
    return {**names, "does": _does(node), "inside": outer}


def _does(node: Node) -> str:
    behaviour = node.behaviour
    if behaviour.error is not None and behaviour.fails is None:
        return "fails"
    if node.type not in NODE_KINDS:
        return "unknown"
    if NODE_KINDS[node.type].runs:
        return "run"
    if node.type == "tool" and (behaviour.files or draws_always(node)):
        return "image"
    given = any(getattr(behaviour, name) is not None for name in _GIVEN)
    return "outputs of the file" if given else "placeholder"


def _outputs(workflow: Workflow) -> Iterator[dict[str, Any]]:
    for node in workflow.nodes.values():
        outputs = node.data.get("outputs")
        for output in outputs if node.type == "end" and isinstance(outputs, list) else ():
            if isinstance(output, Mapping):
                yield {
                    "name": output.get("variable"),
                    "type": output.get("value_type"),
                    "from": ".".join(map(str, output.get("value_selector") or ())),
                    "end": node.node_id,
                }


def listing(found: Mapping[str, Any]) -> str:
    """The report as text for a terminal."""
    lines = [f"{found['file']}: workflow app {found['name']!r}", f"  {_versions(found)}"]
    nodes = [
        (
            one["id"],
            one["type"],
            one["does"],
            one["title"] + (f" (inside {one['inside']})" if one["inside"] else ""),
        )
        for one in found["nodes"]
    ]
    for heading, rows in (
        ("inputs", [_input_row(one) for one in found["inputs"]]),
        ("nodes", nodes),
        ("outputs", [(one["name"], one["type"] or "", one["from"]) for one in found["outputs"]]),
    ):
        lines += ["", f"{heading}:" if rows else f"{heading}: none", *_columns(rows)]
    warnings = found["warnings"]
    lines += ["", f"{counted(len(warnings), 'warning')}:" if warnings else "no warnings"]
    lines += [f"  {one['place']}: {one['message']}" for one in warnings]
    return "\n".join(printable(line) for line in lines)


def _versions(found: Mapping[str, Any]) -> str:
    dsl = f"DSL {found['dsl_version']}" if found["dsl_version"] else "no DSL version"
    fits = found["fits_from"]
    fit = f"fits Dify {fits} and later" if fits else "newer than every recorded Dify version"
    return f"{dsl}, {fit}; checked for Dify {found['host_version']}"


def _input_row(one: Mapping[str, Any]) -> Sequence[str]:
    notes = ["required" if one["required"] else "optional"]
    if "max_length" in one:
        notes.append(f"at most {one['max_length']} {_MEASURED[one['type']]}")
    if "options" in one:
        notes.append(f"one of {', '.join(one['options'])}")
    if "file_types" in one:
        notes.append(" or ".join(one["file_types"]))
    if "default" in one:
        notes.append(f"default {json.dumps(one['default'], ensure_ascii=False)}")
    return one["name"], one["type"], ", ".join(notes)


def _columns(rows: Sequence[Sequence[Any]]) -> list[str]:
    texts = [[str(cell)[:_SHOWN] for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    return [
        "  " + "  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip()
        for row in texts
    ]
