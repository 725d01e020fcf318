"""Versions of Dify's export format (DSL), and which Dify version can run which export."""

from __future__ import annotations

import re
from collections.abc import Iterator

from fake_server.host_spec import HostSpec
from fake_server.workflow.model import Problem, Workflow
from fake_server.workflow.nodes import NODE_KINDS
from fake_server.workflow.variables import VARIABLE_TYPES

_RELEASE = re.compile(r"\d{1,9}(?:\.\d{1,9}){0,3}")


def release(version: str) -> list[int]:
    """``0.1.5`` as numbers; none for an export without a version. Raises ``ValueError``."""
    if version and not _RELEASE.fullmatch(version):
        raise ValueError(f"{version!r} is not a version; write one such as 0.6.0")
    return [int(part) for part in version.split(".")] if version else []


def fitting_version(workflow: Workflow) -> str | None:
    """The oldest recorded Dify version that imports the export, knows the types of its nodes and
    variables as far as any version does, and takes as many steps.
    """
    from dify_wire.profile import profiles  # only where it is looked for: it reads every version

    nodes = {node.type for node in workflow.nodes.values()} & NODE_KINDS.keys()
    variables = {variable.type for variable in workflow.variables} & set(VARIABLE_TYPES)
    steps = workflow.longest_way
    for version, profile in profiles().items():
        if (
            steps <= profile.fact("limits.run_steps")
            and release(workflow.dsl_version) <= release(profile.facts["dsl_version"])
            and nodes <= set(profile.fact("graph.node_types"))
            and variables <= set(profile.fact("request.variable_types"))
        ):
            return version
    return None


def version_problems(workflow: Workflow, spec: HostSpec) -> list[Problem]:
    """What of an export is newer than the host that ``spec`` describes."""
    found = list(_newer(workflow, spec))
    if not found:
        return []
    fits = fitting_version(workflow)
    serve = f"serve it with --host-version {fits}" if fits else "no recorded Dify version does"
    return [Problem(workflow.path, place, f"{message}; {serve}") for place, message in found]


def _newer(workflow: Workflow, spec: HostSpec) -> Iterator[tuple[str, str]]:
    exported, host = workflow.dsl_version, f"Dify {spec.version}"
    if release(exported) > release(spec.dsl_version):
        yield (
            "version",
            f"the export is of DSL {exported}, and {host} imports DSL up to {spec.dsl_version}",
        )
    nodes = {node.type for node in workflow.nodes.values()} & NODE_KINDS.keys()
    for kind in sorted(nodes.difference(spec.graph.node_types)):
        yield (
            "workflow.graph.nodes",
            f"{host} has no nodes of type {kind}, so a run that comes to one fails",
        )
    variables = {variable.type for variable in workflow.variables} & set(VARIABLE_TYPES)
    for kind in sorted(variables.difference(spec.request.variable_types)):
        yield (
            "workflow.graph.nodes",
            f"{host} has no start variables of type {kind}, so every run is refused",
        )
    steps, most = workflow.longest_way, spec.limits.run_steps
    if steps > most:
        yield (
            "workflow.graph.edges",
            f"the longest way takes {steps} steps, and {host} fails a run of more than {most}",
        )
