"""A named behaviour: a function from its parameters to its effects."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from inspect import cleandoc
from typing import Any, NamedTuple

from dify_wire.strict import Field, unknown
from fake_server.scenarios.effects import Effects
from fake_server.scenarios.parameters import Parameter, ScenarioError, parameters_of

RUN, IMAGE = "runWorkflow", "getToolFile"


class Scope(Enum):
    """The requests on which a behaviour can act; each value is in words."""

    RUNS = "runs"
    IMAGES = "runs and downloads of images"
    ANYTHING = "any request"


_OPERATIONS = {Scope.RUNS: {RUN}, Scope.IMAGES: {RUN, IMAGE}}


class Behaviour(NamedTuple):
    """One behaviour. ``make`` is its function and ``doc`` the docstring of that.

    Behaviours with equal ``excludes`` cannot act on one request together; parameters may stand in
    it. ``without_cors`` are the parameters with which a proxy responds, without CORS headers; None
    where the host itself always responds.
    """

    name: str
    make: Callable[..., Effects]
    excludes: str
    scope: Scope
    parameters: Mapping[str, Parameter]
    doc: str
    without_cors: Mapping[str, str] | None = None

    def acts_on(self, operation: str) -> bool:
        return self.scope is Scope.ANYTHING or operation in _OPERATIONS[self.scope]

    def read(self, field: Field) -> dict[str, Any]:
        """The given parameters, checked. Raises ``ScenarioError``."""
        field.only(*self.parameters, what=f"parameter of {self.name}")
        return {name: self.parameters[name].read(value) for name, value in field.items()}

    def read_text(self, name: str, text: str) -> Any:
        """One parameter of a header. Raises ``ScenarioError``."""
        if name not in self.parameters:
            raise ScenarioError(unknown(f"parameter of {self.name}", name, self.parameters))
        return self.parameters[name].read_text(text)

    def exclusion(self, given: Mapping[str, Any]) -> str:
        """``excludes`` with the ``given`` parameters and the other defaults."""
        defaults = {name: parameter.default for name, parameter in self.parameters.items()}
        return self.excludes.format_map({**defaults, **given})


def behaviour(
    excludes: str | None = None,
    scope: Scope = Scope.RUNS,
    without_cors: Mapping[str, str] | None = None,
) -> Callable[[Callable[..., Effects]], Behaviour]:
    """Make a behaviour of a function, under its name."""

    def decorate(make: Callable[..., Effects]) -> Behaviour:
        name, doc = make.__name__, cleandoc(make.__doc__ or "")  # from 3.13 on it comes so
        for part in ("Complaint:", "Survive:"):
            assert f"\n{part} " in doc, f"{name}: its docstring needs a paragraph '{part} …'"
        parameters = parameters_of(make)
        return Behaviour(name, make, excludes or name, scope, parameters, doc, without_cors)

    return decorate
