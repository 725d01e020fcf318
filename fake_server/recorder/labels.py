"""Which app a key belongs to: a recording says ``main``, and never the key."""

from __future__ import annotations

from collections.abc import MutableMapping

from dify_wire.exchange import MAIN, Recording

_REFUSED = 401
_JUDGED_BEFORE_THE_KEY = 405
_ANSWERS = ("application/json", "text/event-stream")
"""The app's own. Pages in HTML come from whoever answered before a key was looked at (FACTS 1.3,
2).
"""


class KeyLabels:
    """Labels of keys: those that were given, ``main`` for the first other one that the host
    accepts, then ``app-2`` …

    ``labels`` is added to, so that whoever holds it knows of each key as soon as the host has
    accepted it.
    """

    def __init__(self, labels: MutableMapping[str, str]) -> None:
        self._labels = labels

    def app(self, exchange: Recording) -> str | None:
        """The label of the exchange's key; None where the host knew no such key, or has not looked
        at it yet.
        """
        key = exchange.request.header("authorization", "").strip().partition(" ")[2].strip()
        if not key or exchange.status == _REFUSED:
            return None
        if key not in self._labels and _accepted(exchange):
            self._labels[key] = self._next()
        return self._labels.get(key)

    def _next(self) -> str:
        taken = set(self._labels.values())
        number = len(taken) + 1
        while MAIN in taken and f"app-{number}" in taken:
            number += 1
        return f"app-{number}" if MAIN in taken else MAIN


def _accepted(exchange: Recording) -> bool:
    """Whether the answer can only be one to a key that the host knows: of its API, the key is the
    first check.
    """
    return (
        exchange.request.path.startswith("/v1/")
        and exchange.request.path != "/v1/"  # says its version to anybody
        and exchange.request.method != "OPTIONS"
        and exchange.status < 500
        and exchange.status != _JUDGED_BEFORE_THE_KEY
        and exchange.header("content-type", "").startswith(_ANSWERS)
    )
