"""The errors of the host, as the profiles of its versions have them, and whether a response is one.

An ``Error`` is named as in ``x-host.errors`` of the overlays, or by the fact that names an error
where versions differ in which one it is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from contract.check import Level
from contract.pydantic_text import BadField, pydantic_text
from contract.result import Failed, Skipped, expect, expect_equal, expect_version, shortened
from contract.target import Target, is_accepted_run
from dify_wire.exchange import Exchange, Recording
from dify_wire.profile import Basis, Profile, profiles

CLIENT_ERRORS = range(400, 500)
_INPUT = re.compile(r"(?<=input_value=).*(?=, input_type=)")
_STYLES: dict[str, Callable[[Any], str]] = {
    "spaced": lambda value: json.dumps(value) + "\n",
    "compact": lambda value: json.dumps(value, separators=(",", ":")).replace("/", r"\/") + "\n",
}
"""How a version writes its errors: a value of ``x-host.http.error_json``."""


@dataclass(frozen=True, slots=True)
class Error:
    """An error with the ``values`` that fill its text; a value may be a function of the target.

    ``or_else`` is the error of versions that accept what the others refuse with this one.
    ``fields`` are the wrong fields, for versions that check all at once by a ``model`` of pydantic;
    ``model_accepts`` says that it takes what the others refuse.
    """

    name: str
    values: Mapping[str, Any] = field(default_factory=dict)
    or_else: Error | None = None
    fields: tuple[BadField, ...] = ()
    model: str = "WorkflowRunPayload"
    model_accepts: bool = False

    def filled(self, target: Target) -> Error:
        """The same error with the values that ``target`` decides. Raises ``Skipped``, also where
        the version accepts what others refuse so.
        """
        values = {
            name: value(target) if callable(value) else value for name, value in self.values.items()
        }
        filled = replace(self, values=values, or_else=self.or_else and self.or_else.filled(target))
        if not any(filled.bodies(target.basis.profile)):
            raise Skipped(f"Dify {target.basis.version} accepts this")
        return filled

    def varies(self) -> bool:
        """Whether versions differ in this error."""
        error = replace(self, values={}, or_else=None)
        return len({repr(list(error.bodies(profile))) for profile in profiles().values()}) > 1

    def bodies(self, profile: Profile) -> Iterator[tuple[int, dict[str, Any]]]:
        """The status and body of each form that the error has in a version."""
        if profile.fact("request.body_check") == "model" and (self.fields or self.model_accepts):
            if not self.model_accepts:
                text, error = pydantic_text(self.model, self.fields), profile.errors["value_error"]
                yield error.status, error.filled(message=text)
            return
        named = profile.fact(self.name) if "." in self.name else self.name
        if named is None:
            yield from self.or_else.bodies(profile) if self.or_else else ()
            return
        for name in dict.fromkeys(named.values() if isinstance(named, Mapping) else [named]):
            yield profile.errors[name].status, profile.errors[name].filled(**self.values)


def error(
    name: str,
    *fields: BadField,
    or_else: Error | None = None,
    model: str = "WorkflowRunPayload",
    **values: Any,
) -> Error:
    if not any(name in one.errors or "." in name for one in profiles().values()):
        raise ValueError(f"no error is called {name!r}; x-host.errors in overlays/ has their names")
    return Error(name, values, or_else, fields, model)


def expect_error(exchange: Exchange, expected: Error, basis: Basis) -> None:
    """Raise ``Failed`` unless ``exchange`` is the error ``expected`` of the version that the host
    is compared with, and nothing was run.
    """
    expect_no_run(exchange)
    forms = list(expected.bodies(basis.profile))
    got = exchange.status, dict(exchange.json_object())
    if isinstance(exchange, Recording) and exchange.redacted:
        forms, got = [_without_input(one) for one in forms], _without_input(got)
    if got not in forms:
        alike = [one.version for one in profiles().values() if got in list(expected.bodies(one))]
        if alike:
            wanted = f"{shortened(forms[0])} as {basis.version} has it"
            why = f"as {alike[-1]} has it"
            raise Failed(wanted, shortened(got), exchange, why, Level.VERSION)
    status, body = got if got in forms else forms[0]
    expect_status(exchange, status or 0)
    expect_equal(exchange.media_type, "application/json", "content type", exchange)
    for name, value in body.items():
        expect_equal(got[1].get(name), value, name, exchange)
    expect_equal(sorted(got[1]), sorted(body), "members", exchange)


def _without_input(response: tuple[int | None, dict[str, Any]]) -> tuple[Any, dict[str, Any]]:
    """A status and body without what a text of pydantic shows of the request: a recording has
    other nonces, signatures and users in its request than the text, where they are cut.
    """
    status, body = response
    message = body.get("message")
    if isinstance(message, str):
        body = {**body, "message": _INPUT.sub("", message)}
    return status, body


def expect_status(exchange: Exchange, status: int | range) -> None:
    """Raise ``Failed`` unless the response has ``status`` and, as an error, ran nothing."""
    if status != 200:
        expect_no_run(exchange)
    statuses = status if isinstance(status, range) else [status]
    expected = str(status) if isinstance(status, int) else f"of {status[0]} to {status[-1]}"
    got = (
        f"no response: {exchange.failure}"
        if exchange.status is None
        else f"status {exchange.status}"
    )
    expect(exchange.status in statuses, f"status {expected}", got, exchange)


def expect_json(exchange: Exchange) -> None:
    """Raise ``Failed`` unless the response is a success in JSON."""
    expect_equal(exchange.status, 200, "status", exchange)
    expect_equal(exchange.media_type, "application/json", "content type", exchange)


def expect_no_run(exchange: Exchange) -> None:
    """Raise ``Failed`` where the host ran a workflow for what it has to refuse."""
    expect(
        not is_accepted_run(exchange),
        "an error",
        "status 200: the host took it for a run",
        exchange,
    )


def expect_error_order(exchange: Exchange, expected: Error, basis: Basis) -> None:
    """Raise ``Failed`` unless the members of the error come in the order of its body."""

    def order(profile: Profile) -> list[str]:
        return list(next(expected.bodies(profile))[1])

    expect_version(list(exchange.json_object()), order, "members", basis, exchange)


def expect_error_style(exchange: Exchange, basis: Basis) -> None:
    """Raise ``Failed`` unless the JSON is written as the host writes errors."""
    try:
        value = exchange.json()
    except ValueError:
        value = {}

    def written(profile: Profile) -> str:
        return _STYLES[profile.fact("http.error_json")](value)

    expect_version(exchange.text, written, "the text", basis, exchange)
