"""Which app a key belongs to: a recording says ``main``, and never the key."""

from __future__ import annotations

from collections.abc import MutableMapping

from dify_wire.exchange import MAIN, Recording

_OF_THE_APP = ("application/json", "text/event-stream")
"""HTML pages are sent before a key is checked (FACTS 1.3, 2)."""


class KeyLabels:
    """Labels of keys: those given, ``main`` for the first other that the host accepts, ``app-2`` …

    ``labels`` is updated, so that its owner knows each key as soon as the host has accepted it.
    """

    def __init__(self, labels: MutableMapping[str, str]) -> None:
        self._labels = labels

    def app(self, exchange: Recording) -> str | None:
        """The label of the exchange's key; None if the host rejects it, or has not checked it."""
        credentials = exchange.request.header("authorization", "").strip().partition(" ")[2]
        key = credentials.strip()
        if not key or exchange.status == 401:
            return None
        if key not in self._labels and _is_accepted(exchange):
            self._labels[key] = self._next()
        return self._labels.get(key)

    def _next(self) -> str:
        taken = set(self._labels.values())
        if MAIN not in taken:
            return MAIN
        number = len(taken) + 1
        while f"app-{number}" in taken:
            number += 1
        return f"app-{number}"


def _is_accepted(exchange: Recording) -> bool:
    """Whether only a key that the host knows gets this response: the key is checked first."""
    return (
        exchange.request.path.startswith("/v1/")
        and exchange.request.path != "/v1/"  # tells its version to anybody
        and exchange.request.method != "OPTIONS"
        and exchange.status < 500
        and exchange.status != 405  # sent before the key is checked
        and exchange.header("content-type", "").startswith(_OF_THE_APP)
    )
