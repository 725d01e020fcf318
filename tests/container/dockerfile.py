"""A Dockerfile read as far as ours goes, and what ``.dockerignore`` leaves of the checkout."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

_KNOWN = frozenset(
    (
        *("CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "FROM", "HEALTHCHECK", "LABEL", "RUN"),
        *("STOPSIGNAL", "USER", "WORKDIR"),
    )
)


class DockerfileError(Exception):
    """An instruction that is not understood here."""


@dataclass(frozen=True, slots=True)
class Step:
    """One instruction, its lines joined."""

    name: str
    value: str

    @property
    def words(self) -> list[str]:
        """The words of the value: those of its JSON array, or of a shell."""
        if self.value.startswith("["):
            words: list[str] = json.loads(self.value)
            return words
        return shlex.split(self.value)


@dataclass(slots=True)
class Stage:
    """What follows one FROM."""

    name: str
    steps: list[Step] = field(default_factory=list)

    def last(self, name: str) -> Step:
        """The instruction of that name which counts. Raises ``DockerfileError``."""
        for step in reversed(self.steps):
            if step.name == name:
                return step
        raise DockerfileError(f"the stage {self.name} has no {name}")


def stages(text: str) -> list[Stage]:
    """The stages of a Dockerfile in their order. Raises ``DockerfileError``."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    found: list[Stage] = []
    for instruction in re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines():
        name, _, value = instruction.strip().partition(" ")
        if not name:
            continue
        if name not in _KNOWN:
            raise DockerfileError(f"{name} is not understood here")
        if name == "FROM":
            _, _, alias = value.partition(" AS ")
            found.append(Stage(alias or str(len(found))))
        elif not found:
            raise DockerfileError(f"{name} comes before FROM")
        else:
            found[-1].steps.append(Step(name, value.strip()))
    return found


def context(root: Path, ignore: str) -> list[Path]:
    """The files of ``root`` that the build gets, relative to it; ``ignore`` is ``.dockerignore``.

    As in Docker the last line that fits a path, or a folder of it, decides.
    """
    rules = [line for line in ignore.splitlines() if line and not line.startswith("#")]
    kept = []
    for top in sorted(root.iterdir()):
        if _is_ignored(top.relative_to(root), rules):
            continue
        paths = [path for path in ([top] if top.is_file() else top.rglob("*")) if path.is_file()]
        names = sorted(path.relative_to(root) for path in paths)
        kept += [name for name in names if not _is_ignored(name, rules)]
    return kept


def _is_ignored(path: Path, rules: list[str]) -> bool:
    ignored = False
    for rule in rules:
        pattern = rule.removeprefix("!")
        for one in (path, *path.parents):
            if fnmatchcase(one.as_posix(), pattern) or (
                pattern.startswith("**/") and fnmatchcase(one.name, pattern.removeprefix("**/"))
            ):
                ignored = not rule.startswith("!")
    return ignored
