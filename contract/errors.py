"""The errors of the host, as the profiles of its versions have them, and whether a response is one.

An ``Error`` is named as in ``x-host.errors`` of the overlays, or by the fact that names an error
where versions differ in which one it is.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from contract.check import Level
from contract.result import Failed, expect, expect_equal, expect_version, shortened
from contract.target import Target, is_accepted_run
from dify_wire.exchange import Exchange
from dify_wire.profile import REFERENCE_VERSION, Profile, by_version, profiles

CLIENT_ERRORS = range(400, 500)
_STYLES: dict[str, Callable[[Any], str]] = {
    "spaced": lambda value: json.dumps(value) + "\n",
    "compact": lambda value: json.dumps(value, separators=(",", ":")).replace("/", r"\/") + "\n",
}
"""How a version writes its errors: a value of ``x-host.http.error_json``."""


@dataclass(frozen=True, slots=True)
class Error:
    """An error with the ``values`` that fill its text; a value may be a function of the target.

    ``or_else`` is the error of versions that accept what the others refuse with this one.
    """

    name: str
    values: Mapping[str, Any] = field(default_factory=dict)
    or_else: Error | None = None

    def filled(self, target: Target) -> Error:
        """The same error with the values that ``target`` decides. Raises ``Skipped``."""
        values = {
            name: value(target) if callable(value) else value for name, value in self.values.items()
        }
        return replace(self, values=values, or_else=self.or_else and self.or_else.filled(target))

    def varies(self) -> bool:
        """Whether versions differ in this error."""
        error = Error(self.name)
        return len({repr(list(error.bodies(profile))) for profile in profiles().values()}) > 1

    def bodies(self, profile: Profile) -> Iterator[tuple[int, dict[str, Any]]]:
        """The status and body of each form that the error has in a version."""
        named = profile.fact(self.name) if "." in self.name else self.name
        if named is None:
            yield from self.or_else.bodies(profile) if self.or_else else ()
            return
        for name in dict.fromkeys(named.values() if isinstance(named, Mapping) else [named]):
            yield profile.errors[name].status, profile.errors[name].filled(**self.values)


def error(name: str, or_else: Error | None = None, **values: Any) -> Error:
    if not any(name in one.errors or "." in name for one in profiles().values()):
        raise ValueError(f"no error is called {name!r}; x-host.errors in overlays/ has their names")
    return Error(name, values, or_else)


def expect_error(exchange: Exchange, expected: Error) -> None:
    """Raise ``Failed`` unless ``exchange`` is the error ``expected`` and nothing was run.

    The error of another version than the reference is a version's difference.
    """
    expect_no_run(exchange)
    status, body = next(expected.bodies(profiles()[REFERENCE_VERSION]))
    got = exchange.status, dict(exchange.json_object())
    if got != (status, body):
        for version, profile in profiles().items():
            if got in list(expected.bodies(profile)):
                wanted = f"{shortened((status, body))} as {REFERENCE_VERSION} has it"
                why = f"as {version} has it"
                raise Failed(wanted, shortened(got), exchange, why, Level.VERSION)
    expect_status(exchange, status)
    expect_equal(exchange.media_type, "application/json", "content type", exchange)
    for name, value in body.items():
        expect_equal(got[1].get(name), value, name, exchange)
    expect_equal(sorted(got[1]), sorted(body), "members", exchange)


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


def expect_error_order(exchange: Exchange, expected: Error) -> None:
    """Raise ``Failed`` unless the members of the error come in the order of its body."""
    orders = by_version(lambda profile: list(next(expected.bodies(profile))[1]))
    expect_version(list(exchange.json_object()), orders, "members", exchange)


def expect_error_style(exchange: Exchange) -> None:
    """Raise ``Failed`` unless the JSON is written as the host writes errors."""
    try:
        value = exchange.json()
    except ValueError:
        value = {}
    styles = by_version(lambda profile: _STYLES[profile.fact("http.error_json")](value))
    expect_version(exchange.text, styles, "the text", exchange)
