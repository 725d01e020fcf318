"""What was not recorded, passed on to a real host, and recorded on the way where that is wanted."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING

from starlette.types import Receive, Scope, Send

from fake_server.settings import Settings, SettingsError

if TYPE_CHECKING:
    from fake_server.recorder.proxy import RecordingProxy
    from fake_server.recorder.settings import RecorderSettings
    from fake_server.recorder.writing_queue import WritingProcess, WritingQueue

log = logging.getLogger("fake_server")


class Forwarding:
    """A recorder's proxy as an ASGI app; ``process`` writes what passes, if it is to be kept."""

    def __init__(
        self, proxy: RecordingProxy, queue: WritingQueue, process: WritingProcess | None
    ) -> None:
        self._proxy = proxy
        self._queue = queue
        self._process = process

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._proxy(scope, receive, send)

    def end(self) -> None:
        """Break off what is under way."""
        self._proxy.end()

    def close(self) -> None:
        """Have everything written that has ended. Call it when the server is down."""
        written = self._queue.finish()
        if self._process:
            self._process.join()
            kept, lost = (written.exchanges, written.pictures), (written.lost, written.bodies_lost)
            log.info("recorded %s exchanges, %s pictures, %s lost, %s bodies lost", *kept, *lost)


def forwarding(settings: Settings, labels: Mapping[str, str]) -> Forwarding | None:
    """What takes misses where they are to be forwarded; ``labels`` are those of the apps' keys.

    The recorder behind it is loaded and started only then. Raises ``SettingsError``.
    """
    if settings.on_miss not in ("forward", "record"):
        return None
    from fake_server.recorder.images import Pictures
    from fake_server.recorder.proxy import RecordingProxy
    from fake_server.recorder.settings import DEFAULT_TIMEOUT_S, RecorderSettings
    from fake_server.recorder.upstream import Upstream
    from fake_server.recorder.writing_queue import WritingProcess, WritingQueue

    assert settings.upstream is not None
    assert settings.replay is not None
    recorder = RecorderSettings(
        upstream=settings.upstream, to=settings.replay, key_labels=tuple(labels.items())
    )
    upstream = Upstream(settings.upstream, DEFAULT_TIMEOUT_S)
    if settings.on_miss == "forward":
        queue = WritingQueue(_Nowhere(), log.warning)
        return Forwarding(RecordingProxy(upstream, queue, None), queue, None)
    process = _started(WritingProcess, recorder)
    queue = WritingQueue(process.channel, log.warning, process.written)
    proxy = RecordingProxy(upstream, queue, None)
    proxy.pictures = Pictures(upstream, queue, patience_s=0.0)
    return Forwarding(proxy, queue, process)


def _started(kind: type[WritingProcess], recorder: RecorderSettings) -> WritingProcess:
    """The process that writes; its refusals speak of ``to``, which is ``replay`` here."""
    try:
        return kind(recorder)
    except SettingsError as error:
        if error.setting != "to":
            raise
        raise SettingsError("replay", str(error).partition(": ")[2]) from None


class _Nowhere:
    """The channel to a process that is not there, for nothing is to be written."""

    def send(self, _: object, /) -> None:
        pass

    def poll(self, _: float, /) -> bool:
        return True

    def recv(self) -> object:
        from fake_server.recorder.writing import Written

        return Written()

    def close(self) -> None:
        pass
