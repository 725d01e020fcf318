"""A named behaviour: a function from its parameters to its effects, known by its name in the
catalogue.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from fake_server.scenarios.effects import Effects
from fake_server.scenarios.errors import ScenarioError, unknown
from fake_server.scenarios.parameters import Parameter, parameters_of

RUN, PICTURE = "runWorkflow", "getToolFile"


class Scope(Enum):
    """Which requests a behaviour can befall: runs, runs and downloads of pictures, or whatever is
    asked.
    """

    RUNS = frozenset({RUN})
    PICTURES = frozenset({RUN, PICTURE})
    ANYTHING = None

    @property
    def in_words(self) -> str:
        return {
            Scope.RUNS: "runs",
            Scope.PICTURES: "runs and downloads of pictures",
            Scope.ANYTHING: "whatever is asked of the host",
        }[self]


@dataclass(frozen=True, slots=True)
class Behaviour:
    """One behaviour of the catalogue.

    ``excludes`` is a word that behaviours share which cannot act on one request together;
    parameters may stand in it. ``scope`` says which requests it can befall. ``about`` is what its
    documentation says. ``without_cors`` are the parameters with which a proxy answers, without CORS
    headers; None where the host itself always does.
    """

    name: str
    make: Callable[..., Effects]
    excludes: str
    scope: Scope
    parameters: Mapping[str, Parameter]
    about: str
    without_cors: Mapping[str, str] | None = None

    @property
    def cors_note(self) -> str | None:
        """What a page in a browser sees of it, where that is not the response."""
        if self.without_cors is None:
            return None
        where = (
            "".join(f"With {name}={value} " for name, value in self.without_cors.items()) or "Here "
        )
        return (
            f"{where}the response is that of a proxy, without CORS headers: a page of another origin sees no status, "
            'only "TypeError: Failed to fetch".'
        )

    def acts_on(self, operation: str) -> bool:
        """Whether a request for ``operation`` can be befallen by it."""
        operations = self.scope.value
        return operations is None or operation in operations

    def read(self, said: Mapping[str, object]) -> dict[str, Any]:
        """The parameters that ``said`` gives, checked. Raises ``ScenarioError``."""
        for name in said:
            if name not in self.parameters:
                raise ScenarioError(self._unknown(name), (name,))
        return {name: self.parameters[name].read(value) for name, value in said.items()}

    def read_text(self, name: str, text: str) -> Any:
        """One parameter out of a header. Raises ``ScenarioError``."""
        if name not in self.parameters:
            raise ScenarioError(self._unknown(name))
        return self.parameters[name].read_text(text)

    def _unknown(self, name: str) -> str:
        return unknown(f"parameter of {self.name}", name, tuple(self.parameters) or ("none",))

    def exclusion(self, said: Mapping[str, Any]) -> str:
        """The word that no two behaviours of one request may share."""
        defaults = {name: parameter.default for name, parameter in self.parameters.items()}
        return self.excludes.format_map({**defaults, **said})


_CATALOGUE: dict[str, Behaviour] = {}


def behaviour(
    excludes: str | None = None,
    scope: Scope = Scope.RUNS,
    without_cors: Mapping[str, str] | None = None,
) -> Callable[[Callable[..., Effects]], Callable[..., Effects]]:
    """Enter a function into the catalogue under its own name."""

    def enter(make: Callable[..., Effects]) -> Callable[..., Effects]:
        name = make.__name__
        parameters = {parameter.name: parameter for parameter in parameters_of(make)}
        _CATALOGUE[name] = Behaviour(
            name, make, excludes or name, scope, parameters, make.__doc__ or "", without_cors
        )
        return make

    return enter


def catalogue() -> Mapping[str, Behaviour]:
    """Every behaviour by name. The first call imports them."""
    import fake_server.scenarios.behaviours  # noqa: F401  # importing them is what enters them

    return _CATALOGUE


def find(name: str) -> Behaviour:
    """The behaviour ``name``. Raises ``ScenarioError`` with the nearest right name."""
    known = catalogue()
    if name not in known:
        raise ScenarioError(unknown("scenario", name, tuple(known)))
    return known[name]
