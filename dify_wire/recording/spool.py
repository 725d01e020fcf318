"""The body of an answer that is still under way: in memory while it is small, on the disk when it grows."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from dify_wire.recording.exchange import Chunk

PARTIAL = ".partial-"
"""How the names of unfinished files begin. A recorder that was killed leaves them; nothing ever reads them."""

IN_MEMORY = 1 << 20
"""Bytes of a body that are held in memory; the rest of it goes to the disk."""


class Spool:
    """A growing body with the times of its chunks. At most ``IN_MEMORY`` bytes of it are in memory.

    ``add`` raises ``OSError`` where the disk takes no more; what came until then is lost with it after ``discard``.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._chunks: list[Chunk] = []
        self._arrivals: list[tuple[float, int]] = []
        self._file: BinaryIO | None = None
        self._path: Path | None = None
        self.size = 0

    @property
    def in_memory(self) -> bool:
        return self._file is None

    def add(self, at_s: float, data: bytes) -> None:
        """Keep ``data``, which came ``at_s`` seconds after the request was sent."""
        self.size += len(data)
        if self._file is None:
            self._chunks.append(Chunk(at_s, data))
            if self.size > IN_MEMORY:
                self._to_disk()
            return
        self._arrivals.append((at_s, len(data)))
        self._file.write(data)

    def chunks(self) -> Iterator[Chunk]:
        """All that came, one chunk at a time; read again from the start at each call."""
        if self._file is None:
            yield from self._chunks
            return
        self._file.flush()
        assert self._path is not None
        with self._path.open("rb") as kept:
            for at_s, size in self._arrivals:
                yield Chunk(at_s, kept.read(size))

    def discard(self) -> None:
        """Forget the body, and take its file from the disk. Nothing happens when it is called again."""
        self._chunks.clear()
        self._arrivals.clear()
        if self._file is not None and self._path is not None:
            try:
                self._file.close()
            finally:
                self._path.unlink(missing_ok=True)

    def _to_disk(self) -> None:
        handle, name = tempfile.mkstemp(prefix=PARTIAL, dir=self._folder)
        self._path, self._file = Path(name), os.fdopen(handle, "wb")
        chunks, self._chunks = self._chunks, []
        for chunk in chunks:
            self._arrivals.append((chunk.at_s, len(chunk.data)))
            self._file.write(chunk.data)
