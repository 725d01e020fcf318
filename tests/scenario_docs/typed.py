"""``fake_server/testing/typed.py``: what tests write, as types, made of settings, behaviours and
match fields.
"""

from __future__ import annotations

import subprocess
import sys
from collections import defaultdict
from dataclasses import fields

from fake_server.journal.matching import FIELDS
from fake_server.scenarios.behaviour import Behaviour, catalogue
from fake_server.scenarios.conditions import NAMES
from fake_server.scenarios.parameters import Parameter
from fake_server.settings import Settings
from fake_server.testing.host import ALIASES, OPTIONS
from tests.serving import ROOT

TYPED = ROOT / "fake_server" / "testing" / "typed.py"

_HEAD = '''"""Types of what tests write, made by ``make docs`` from settings, behaviours and match fields."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any, Literal, TypedDict, overload

from fake_server.testing.handles import Scenario


class Contains(TypedDict):
    """A text that contains another."""

    contains: str


class Matches(TypedDict):
    """A text that a regular expression finds something in."""

    matches: str


Text = str | Contains | Matches
'''

_TAIL = '''
    def scenario(self, name: str, /, *, times: int | None = None, when: When | None = None, **with_: Any) -> Scenario:
        """Bring the scenario ``name`` upon the requests that come now, with its parameters.

        ``times`` is how many requests it acts on, ``when`` which ones. It stays until it is taken back, by ``remove``,
        by the end of a ``with`` block or by a reset. Raises ``ScenarioError`` and changes nothing for what it is not.
        """
        __tracebackhide__ = True
        return self._order(name, times, when, with_)

    def _order(self, name: str, times: int | None, when: When | None, with_: dict[str, Any]) -> Scenario:
        raise NotImplementedError
'''

_OPTIONS = {
    "str": "str",
    "int": "int",
    "float": "float",
    "Path": "str | Path",
    "tuple[str, ...]": "str | Sequence[str]",
    "tuple[Path, ...]": "str | Path | Sequence[str | Path]",
}
_SPECIAL = {
    "speed": 'float | Literal["instant"] | None',
    "clock": "str | date | None",
    "apps": "Mapping[str, str | Path]",
}
_CONDITIONS = {
    "operation": "str",
    "prompt": "Text",
    "model": "Text",
    "user": "Text",
    "mode": 'Literal["blocking", "streaming"]',
    "header": "Mapping[str, Text]",
    "call": "int",
    "probability": "float",
    "seed": "int",
}
_MATCHES = {"status": "int", "header": "Mapping[str, str | None]", "json": "Any"}


def typed_module() -> str:
    """The whole file."""
    parts = [
        _HEAD,
        _typed_dict("HostOptions", "Settings of a host in a test.", _host_options()),
        _typed_dict(
            "When", "Conditions of a scenario.", {name: _CONDITIONS[name] for name in NAMES}
        ),
        _typed_dict(
            "RequestMatch",
            "A description of requests.",
            {name: _MATCHES.get(name, "str") for name in FIELDS},
        ),
        'class TypedScenarios:\n    """What a host offers to order scenarios."""\n',
        *map(_overload, _by_parameters()),
        _TAIL,
    ]
    command = ["ruff", "format", "--stdin-filename", str(TYPED), "-"]
    return subprocess.run(
        [sys.executable, "-m", *command],
        input="\n".join(parts),
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    ).stdout


def _host_options() -> dict[str, str]:
    options = {}
    for field in fields(Settings):
        if field.name in OPTIONS and field.name != "seed":
            kind = str(field.type).removesuffix(" | None")
            none = " | None" if str(field.type).endswith(" | None") else ""
            options[field.name] = _SPECIAL.get(field.name) or _OPTIONS[kind] + none
    return options | {short: options[setting] for short, setting in ALIASES.items()}


def _typed_dict(name: str, about: str, types: dict[str, str]) -> str:
    lines = [f"class {name}(TypedDict, total=False):", f'    """{about}"""\n']
    return "\n".join([*lines, *(f"    {key}: {kind}" for key, kind in types.items())]) + "\n"


def _by_parameters() -> list[list[Behaviour]]:
    groups: defaultdict[str, list[Behaviour]] = defaultdict(list)
    for behaviour in catalogue().values():
        groups[_parameters(behaviour)].append(behaviour)
    return list(groups.values())


def _overload(behaviours: list[Behaviour]) -> str:
    names = _literal([one.name for one in behaviours])
    takes = f"{_parameters(behaviours[0])}times: int | None = None, when: When | None = None"
    return f"    @overload\n    def scenario(self, scenario: {names}, /, *, {takes}) -> Scenario: ...\n"


def _parameters(behaviour: Behaviour) -> str:
    return "".join(f"{one.name}: {_kind(one)} = ..., " for one in behaviour.parameters.values())


def _kind(parameter: Parameter) -> str:
    return parameter.kind.__name__ if parameter.choices is None else _literal(parameter.choices)


def _literal(values: list[str] | tuple[str, ...]) -> str:
    return "Literal[{}]".format(", ".join(f'"{value}"' for value in values))
