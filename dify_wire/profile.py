"""Version profiles: which Dify versions are known here, and what each of them does on the wire.

A profile is the document with the overlay of a version, applied after those that the overlay names
with ``x-after``: each says only what changed since the version before.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from dify_wire.error_text import ErrorText
from dify_wire.overlay import read_overlay
from dify_wire.spec import load
from dify_wire.strict import did_you_mean
from dify_wire.text_file import SpecError, bundled

REFERENCE_VERSION = "0.6.4"
"""The version that the document and most recordings come from."""

_FILE_NAME = re.compile(r"dify-(\d+(?:\.\d+)+)\.yaml")
_VERSION = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9}){0,9}")


def _versions() -> tuple[str, ...]:
    """The versions with an overlay, newest first; none in a damaged installation."""
    try:
        names = [_FILE_NAME.fullmatch(path.name) for path in bundled("overlays").iterdir()]
    except (SpecError, OSError):
        return ()
    return tuple(sorted((name[1] for name in names if name), key=_release, reverse=True))


def _release(version: str) -> list[int]:
    return [int(part) for part in version.split(".")]


HOST_VERSIONS = _versions()
"""The versions that the fake can serve, newest first."""


class Profile(NamedTuple):
    """What a host of ``version`` does: its error responses by name, the other facts of ``x-host``,
    and the schemas of what it sends.
    """

    version: str
    errors: Mapping[str, ErrorText]
    facts: Mapping[str, Any]
    schemas: Mapping[str, Any]

    def fact(self, path: str) -> Any:
        """The fact at ``path``, as ``http.error_json``; None where no version states it."""
        value: Any = self.facts
        for name in path.split("."):
            value = value.get(name) if isinstance(value, Mapping) else None
        return value

    def fields(self, schema: str) -> tuple[str, ...]:
        """The fields that each object of ``schema`` has, in their order; none where the version
        has no such objects.
        """
        return tuple(self.schemas.get(schema, {}).get("required", ()))


def data_schema(event: str) -> str:
    """The name of the schema of an event's data: ``NodeStartedData`` for ``node_started``."""
    return event.title().replace("_", "") + "Data"


def profiles() -> Mapping[str, Profile]:
    """Every known version, oldest first. Raises ``SpecError`` for a damaged installation."""
    return {version: profile_of(version) for version in reversed(HOST_VERSIONS)}


def nearest_recorded(stated: str) -> str:
    """``stated`` where it is a recorded version, else the nearest one before it: the oldest where
    there is none, the reference where ``stated`` does not begin with a version.
    """
    release = re.match(r"\d{1,9}(?:\.\d{1,9})*", stated)
    if release is None:
        return REFERENCE_VERSION
    return stated if stated in HOST_VERSIONS else nearest_older(release[0]) or HOST_VERSIONS[-1]


@cache
def profile_of(version: str) -> Profile:
    """The profile of one of ``HOST_VERSIONS``. Raises ``SpecError`` for another version."""
    document = load(bundled("openapi.yaml"), overlay_paths(version))
    facts = dict(document["x-host"])
    errors = {
        name: ErrorText(error["status"], error["body"])
        for name, error in facts.pop("errors").items()
    }
    return Profile(version, errors, facts, document["components"]["schemas"])


class Basis(NamedTuple):
    """``stated`` is the version that the host says it is, "" where it says none; ``given`` the one
    that the user wants it to be compared with, if any.
    """

    stated: str = ""
    given: str | None = None

    @property
    def version(self) -> str:
        return self.given or nearest_recorded(self.stated)

    @property
    def profile(self) -> Profile:
        return profile_of(self.version)

    @property
    def is_exact(self) -> bool:
        """Whether the host has to do all that the profile says: it is of that version, or the user
        says that it should be. Else a difference may be one between versions.
        """
        return self.given is not None or self.stated == self.version

    @property
    def sentence(self) -> str:
        """Which profile it is, and why that one."""
        if self.given is not None:
            return f"compared with Dify {self.version} (--host-version)"
        if self.is_exact:
            return f"compared with Dify {self.version}, which the host says it is"
        reason = f"{self.stated} was not recorded" if self.stated else "the host states no version"
        nearest = "the nearest older recorded version" if self.stated else "the reference"
        return f"compared with Dify {self.version}, {nearest}: {reason}"


def recorded_version(text: str) -> str:
    """The version ``text``, or the newest of those that begin with it: 1.10.1 for ``1.10``.

    Raises ``SpecError`` where none was recorded.
    """
    wanted = _release(text) if _VERSION.fullmatch(text) else []
    for version in HOST_VERSIONS if wanted else ():
        if _release(version)[: len(wanted)] == wanted:
            return version
    reason = f"{text!r} is unknown{did_you_mean(text, HOST_VERSIONS)}"
    if wanted:
        older = nearest_older(text)
        nearest = f"the nearest older one is {older}" if older else "no older one is known"
        reason = f"Dify {text} was not recorded; {nearest}"
    known = ", ".join(HOST_VERSIONS) or "none"
    folder = bundled("overlays") if HOST_VERSIONS else Path(__file__).resolve().parent
    raise SpecError(folder, "the host version", f"{reason}; use one of: {known}")


def nearest_older(version: str) -> str | None:
    """The newest recorded version that is not newer than ``version`` (digits and dots)."""
    return next((one for one in HOST_VERSIONS if _release(one) <= _release(version)), None)


def overlay_paths(host_version: str) -> list[Path]:
    """The bundled overlays that make the spec of ``host_version``, in the order in which they
    apply. Raises ``SpecError`` for a version that was not recorded.
    """
    paths = [bundled(f"overlays/dify-{recorded_version(host_version)}.yaml")]
    while (after := read_overlay(paths[0]).get("x-after")) is not None:
        path = (paths[0].parent / str(after)).resolve()
        if path in paths:
            raise SpecError(
                path, "x-after", "these overlays each come after the other; take one x-after out"
            )
        paths.insert(0, path)
    return paths
