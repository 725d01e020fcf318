"""Ids that were told in place of recorded ones, and the way back when a client asks for them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from dify_wire.exchange import Request
from dify_wire.ids import UUID
from fake_server.bounded import BoundedDict

_UUID = re.compile(UUID.encode(), re.IGNORECASE)
_MOST = 100_000


class Aliases:
    """The recorded id behind each one that was made up for a repeated replay."""

    def __init__(self) -> None:
        self._recorded: BoundedDict[str, str] = BoundedDict(_MOST)

    def add(self, ids: Mapping[str, str]) -> None:
        """Remember ``ids``, fresh ones by the recorded."""
        for recorded, fresh in ids.items():
            self._recorded[fresh] = recorded

    def recorded(self, file_or_task_id: str) -> str:
        """The recorded id; an id that was never told is its own."""
        return self._recorded.get(file_or_task_id.lower()) or file_or_task_id

    def resolved(self, request: Request) -> tuple[Request, Mapping[str, str]]:
        """``request`` as it would have been asked of the recorded host, and what its ids are called
        here.
        """
        if not len(self._recorded):
            return request, {}
        called: dict[str, str] = {}

        def back(match: re.Match[bytes]) -> bytes:
            fresh = match[0].decode()
            recorded = self.recorded(fresh)
            if recorded != fresh:
                called[recorded] = fresh
            return recorded.encode()

        target = _UUID.sub(back, request.target.encode("latin-1")).decode("latin-1")
        return replace(request, target=target, body=_UUID.sub(back, request.body)), called
