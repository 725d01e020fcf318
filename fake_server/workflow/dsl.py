"""Versions of Dify's export format (DSL), and which Dify version imports which."""

from __future__ import annotations

import re

from fake_server.host_spec import HostSpec
from fake_server.workflow.model import Problem, Workflow

_RELEASE = re.compile(r"\d{1,9}(?:\.\d{1,9}){0,3}")


def release(version: str) -> list[int]:
    """``0.1.5`` as numbers; none for an export without a version. Raises ``ValueError``."""
    if version and not _RELEASE.fullmatch(version):
        raise ValueError(f"{version!r} is not a version; write one such as 0.6.0")
    return [int(part) for part in version.split(".")] if version else []


def fitting_version(dsl_version: str) -> str | None:
    """The oldest recorded Dify version that imports an export of ``dsl_version``."""
    from dify_wire.profile import profiles  # only where it is looked for: it reads every version

    wanted = release(dsl_version)
    for version, profile in profiles().items():
        if wanted <= release(profile.facts["dsl_version"]):
            return version
    return None


def version_problems(workflow: Workflow, spec: HostSpec) -> list[Problem]:
    """What is wrong with the DSL version of an export for the host that ``spec`` describes."""
    exported = workflow.dsl_version
    if release(exported) <= release(spec.dsl_version):
        return []
    fits = fitting_version(exported)
    serve = f"serve it with --host-version {fits}" if fits else "no recorded Dify version does"
    message = (
        f"the export is of DSL {exported}, and Dify {spec.version} imports DSL up to "
        f"{spec.dsl_version}; {serve}"
    )
    return [Problem(workflow.path, "version", message)]
