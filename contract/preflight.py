"""Whether a host can be judged at all: it takes connections, and our key opens it."""

from __future__ import annotations

from contract.failures import NotRun
from contract.target import RUN_PATH, Target


class CouldNotRunError(Exception):
    """The suite could not be run: nobody listens there, or the key is not the host's."""


def reach_clock(target: Target) -> None:
    """Ask the admin API that is lent, if one is, what time it is. Raises ``CouldNotRunError`` where it does not say."""
    if target.lent.clock is None:
        return
    try:
        target.lent.clock.now()
    except NotRun as trouble:
        raise CouldNotRunError(trouble.reason) from None


def knock(target: Target) -> None:
    """Send the first authorised request: one that a host refuses before it runs anything.

    Raises ``CouldNotRunError`` without a connection and for a key that is not the host's. A host
    that takes the connection and then misbehaves can be judged; that is what the checks are for.
    """
    request = target.raw_request("POST", RUN_PATH, b'{"inputs": ')
    try:
        exchange = target.send(request)
    except NotRun:  # --max-runs 0
        return
    if not exchange.connected:
        raise CouldNotRunError(f"no connection: {exchange.broken}")
    if exchange.status == 401:
        message = exchange.json_object().get("message")
        raise CouldNotRunError(f"the host refuses the API key: 401 {message or exchange.text[:200]}")
