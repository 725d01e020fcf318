"""Misses passed on to a real host, and recorded on the way if that is wanted."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from starlette.types import Receive, Scope, Send

from fake_server.recorder.images import ImageFetcher
from fake_server.recorder.proxy import RecordingProxy
from fake_server.recorder.settings import DEFAULT_TIMEOUT_S, RecorderSettings
from fake_server.recorder.upstream import Upstream
from fake_server.recorder.writing import start_writer
from fake_server.settings import Settings, SettingsError

log = logging.getLogger("fake_server")


class Forwarding:
    """A recorder's proxy as an ASGI app. ``labels`` are those of the apps' keys.

    Raises ``SettingsError`` if what passes cannot be recorded.
    """

    def __init__(self, settings: Settings, labels: Mapping[str, str]) -> None:
        assert settings.upstream is not None
        assert settings.replay is not None
        recorder = RecorderSettings(
            upstream=settings.upstream, to=settings.replay, key_labels=tuple(labels.items())
        )
        upstream = Upstream(recorder.upstream, DEFAULT_TIMEOUT_S)
        self._writer = None
        if settings.on_miss == "record":
            try:
                self._writer = start_writer(recorder, log.warning)
            except SettingsError as error:
                if error.setting != "to":
                    raise
                raise SettingsError("replay", str(error).partition(": ")[2]) from None
        self._proxy = RecordingProxy(upstream, self._writer)
        if self._writer:
            self._proxy.images = ImageFetcher(upstream, self._writer, client_first_s=0.0)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._proxy(scope, receive, send)

    def end(self) -> None:
        """Break off what is under way."""
        self._proxy.end()

    def close(self) -> None:
        """Write everything that has ended. Call it when the server is down."""
        if self._writer:
            written = self._writer.finish(log.info)
            message = "recorded %s exchanges, %s images, %s lost, %s bodies lost"
            counts = written.exchanges, written.images, written.lost, written.bodies_lost
            log.info(message, *counts)
