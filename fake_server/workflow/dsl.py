"""Versions of Dify's export format (DSL), and which Dify version imports which."""

from __future__ import annotations

import re

from fake_server.host_spec import HostSpec
from fake_server.workflow.model import Problem, Workflow

_RELEASE = re.compile(r"\d{1,9}(?:\.\d{1,9}){0,3}")


def release(version: str) -> list[int] | None:
    """``0.1.5`` as numbers; none for an export without a version, None where it is not one."""
    if not version:
        return []
    return [int(part) for part in version.split(".")] if _RELEASE.fullmatch(version) else None


def fitting_version(dsl_version: str) -> str | None:
    """The oldest recorded Dify version that imports an export of ``dsl_version``."""
    from dify_wire.profile import profiles  # only where it is looked for: it reads every version

    wanted = release(dsl_version)
    if wanted is None:
        return None
    for version, profile in profiles().items():
        if wanted <= (release(profile.facts["dsl_version"]) or []):
            return version
    return None


def version_problems(workflow: Workflow, spec: HostSpec) -> list[Problem]:
    """What is wrong with the DSL version of an export for the host that ``spec`` describes."""
    exported = workflow.dsl_version
    wanted, known = release(exported), release(spec.dsl_version)
    if wanted is None:
        message = f"{exported!r} is not a DSL version; an export has one such as 0.6.0"
    elif wanted <= (known or []):
        return []
    else:
        fits = fitting_version(exported)
        serve = f"serve it with --host-version {fits}" if fits else "no recorded Dify version does"
        message = (
            f"the export is of DSL {exported}, and Dify {spec.version} imports DSL up to "
            f"{spec.dsl_version}; {serve}"
        )
    return [Problem(workflow.path, "version", message)]
