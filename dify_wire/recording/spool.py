"""A body that is still growing: in memory while it is small, on the disk when it grows, and
bounded.
"""

from __future__ import annotations

import os
import tempfile
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from dify_wire.exchange import Chunk

PARTIAL = ".partial-"
"""How the names of unfinished files begin. A recorder that was killed leaves them; nothing ever
reads them.
"""

IN_MEMORY = 1 << 20
"""Bytes of a body that are held in memory; the rest of it goes to the disk."""

MOST_BODY_BYTES = 128 << 20
"""The longest body that is kept, in bytes. A longer one is passed on, and its recording says that
it is left out.
"""

MOST_CHUNKS = 250_000
"""Chunks of a body that is kept. One of more is passed on and left out in the same way."""


class Spool:
    """A growing body with the times of its chunks. At most ``IN_MEMORY`` bytes of it are in memory.

    ``add`` raises ``OSError`` where the disk takes no more; what came until then is lost with it
    after ``discard``. ``exceeded`` says which bound the body has exceeded; nothing but its ``size``
    is kept then.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._chunks: list[Chunk] = []
        self._times = array("d")
        self._sizes = array("Q")
        self._file: BinaryIO | None = None
        self._path: Path | None = None
        self.size = 0
        self.exceeded = ""

    @property
    def in_memory(self) -> bool:
        return self._file is None

    def add(self, at_s: float, data: bytes) -> None:
        """Keep ``data``, which came ``at_s`` seconds after the request was sent."""
        self.size += len(data)
        if self.exceeded:
            return
        if self.size > MOST_BODY_BYTES:
            self._exceed(f"it has more than {MOST_BODY_BYTES >> 20} MiB")
        elif len(self._chunks) + len(self._sizes) >= MOST_CHUNKS:
            self._exceed(f"it came in more than {MOST_CHUNKS} chunks")
        elif self._file is None and self.size <= IN_MEMORY:
            self._chunks.append(Chunk(at_s, data))
        else:
            self._write(Chunk(at_s, data))

    def chunks(self) -> Iterator[Chunk]:
        """All that came, one chunk at a time; read again from the start at each call."""
        if self._file is None:
            yield from self._chunks
            return
        self._file.flush()
        assert self._path is not None
        with self._path.open("rb") as kept:
            for at_s, size in zip(self._times, self._sizes, strict=True):
                yield Chunk(at_s, kept.read(size))

    def discard(self) -> None:
        """Forget the body, and take its file from the disk. Nothing happens when it is called
        again.
        """
        self._chunks.clear()
        del self._times[:], self._sizes[:]
        if self._file is not None and self._path is not None:
            try:
                self._file.close()
            finally:
                self._path.unlink(missing_ok=True)

    def _exceed(self, why: str) -> None:
        self.discard()
        self._file, self.exceeded = None, why

    def _write(self, chunk: Chunk) -> None:
        if self._file is None:
            handle, name = tempfile.mkstemp(prefix=PARTIAL, dir=self._folder)
            self._path, self._file = Path(name), os.fdopen(handle, "wb")
        chunks, self._chunks = [*self._chunks, chunk], []
        for one in chunks:
            self._times.append(one.at_s)
            self._sizes.append(len(one.data))
            self._file.write(one.data)
