"""Version profiles: which Dify versions are known here, and what each of them does on the wire.

A profile is the overlay of a version applied after those that it names with ``x-after``. The
overlays in ``overlays/`` describe a version as a whole: the fake serves them. Those in
``overlays/partial/`` hold only what the contract checks compare, and cannot be served.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from dify_wire.error_text import ErrorText
from dify_wire.overlay import OverlayError, apply_overlay, read_overlay
from dify_wire.strict import did_you_mean
from dify_wire.text_file import SpecError, bundled

REFERENCE_VERSION = "0.6.4"
"""The version that the document and most recordings come from."""

_FILE_NAME = re.compile(r"dify-(\d+(?:\.\d+)+)\.yaml")


def _versions(folder: str) -> tuple[str, ...]:
    """The versions with an overlay in ``folder``, oldest first; none in a damaged installation."""
    try:
        names = [_FILE_NAME.fullmatch(path.name) for path in bundled(folder).iterdir()]
    except (SpecError, OSError):
        return ()
    return tuple(sorted((name[1] for name in names if name), key=_release))


def _release(version: str) -> list[int]:
    return [int(part) for part in version.split(".")]


HOST_VERSIONS = _versions("overlays")[::-1]
"""The versions that the fake can serve, newest first."""

_PARTIAL_VERSIONS = _versions("overlays/partial")


@dataclass(frozen=True, slots=True)
class Profile:
    """What a host of ``version`` does: its error responses by name, and the other facts of
    ``x-host``.
    """

    version: str
    errors: Mapping[str, ErrorText]
    facts: Mapping[str, Any]

    def fields(self, name: str) -> tuple[str, ...]:
        """The field names of the object ``name`` (a key of ``x-host.fields``), in their order."""
        return tuple(self.facts["fields"][name].split())


@cache
def profiles() -> Mapping[str, Profile]:
    """Every known version, oldest first. Raises ``SpecError`` for a damaged installation."""
    versions = sorted((*HOST_VERSIONS, *_PARTIAL_VERSIONS), key=_release)
    return {version: _profile(version) for version in versions}


def by_version(read: Callable[[Profile], Any]) -> dict[str, Any]:
    """What ``read`` finds in the profile of each version, the reference first."""
    versions = [REFERENCE_VERSION, *profiles()]
    return {version: read(profiles()[version]) for version in versions}


def _profile(version: str) -> Profile:
    document: dict[str, Any] = {}
    for path in _chain(version):
        overlay = read_overlay(path)
        of_host = [  # the others need the document
            action
            for action in overlay["actions"]
            if action["target"] == "$" or action["target"].startswith("$['x-host']")
        ]
        try:
            apply_overlay(document, {**overlay, "actions": of_host})
        except OverlayError as error:
            raise SpecError(path, error.place, error.message) from None
    facts = dict(document["x-host"])
    errors = {
        name: ErrorText(error["status"], error["body"])
        for name, error in facts.pop("errors").items()
    }
    return Profile(version, errors, facts)


def overlay_paths(host_version: str) -> list[Path]:
    """The bundled overlays that make the spec of ``host_version``, in the order in which they
    apply. Raises ``SpecError`` for a version that cannot be served.
    """
    if host_version not in HOST_VERSIONS:
        if host_version in _PARTIAL_VERSIONS:
            reason = f"only parts of {host_version} are known, so it cannot be served"
        else:
            reason = f"{host_version!r} is unknown{did_you_mean(host_version, HOST_VERSIONS)}"
        known = ", ".join(HOST_VERSIONS) or "none"
        folder = bundled("overlays") if HOST_VERSIONS else Path(__file__).resolve().parent
        raise SpecError(folder, "the host version", f"{reason}; use one of: {known}")
    return _chain(host_version)


def _chain(version: str) -> list[Path]:
    folder = "overlays/partial" if version in _PARTIAL_VERSIONS else "overlays"
    paths = [bundled(f"{folder}/dify-{version}.yaml")]
    while (after := read_overlay(paths[0]).get("x-after")) is not None:
        path = (paths[0].parent / str(after)).resolve()
        if path in paths:
            raise SpecError(
                path, "x-after", "these overlays each come after the other; take one x-after out"
            )
        paths.insert(0, path)
    return paths
