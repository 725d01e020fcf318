"""Faults of the bytes of an image: data, so that every replica of a fake can have them."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from fake_server.images import png

Parts = Sequence[bytes]


class ImageFault(NamedTuple):
    """Changes the bytes of an image, which are in parts; None where the file is gone."""

    kind: str
    values: tuple[Any, ...] = ()

    def spoil(self, parts: Parts) -> Parts | None:
        return _KINDS[self.kind](parts, *self.values)


def missing(parts: Parts) -> None:
    """The file is gone."""


def corrupt(parts: Parts, how: str) -> Parts:
    """Not a whole PNG: ``truncated``, ``flipped`` or ``html``."""
    whole = b"".join(parts)
    half = len(whole) // 2
    if how == "html":
        return (b"<!doctype html>\n<title>This is not an image</title>\n",)
    if how == "truncated":
        return (whole[:half],)
    flipped = bytes(byte ^ 0xFF for byte in whole[half : half + 16])
    return (whole[:half], flipped, whole[half + 16 :])


def white(parts: Parts, side: int, padding: int) -> Parts:
    """Another image: a white square of ``side`` pixels at one bit each, with a chunk of ``padding``
    zeros.

    In parts: the padding repeats one small buffer, so that any number of megabytes costs no memory.
    """
    packer = zlib.compressobj()
    row = b"\0" + b"\xff" * ((side + 7) // 8)
    pixels = b"".join([*(packer.compress(row) for _ in range(side)), packer.flush()])
    chunks: list[png.Part] = [(b"IDAT", [pixels])]
    if padding:
        zeros = bytes(1 << 16)
        full, rest = divmod(padding, len(zeros))
        chunks.insert(0, (b"fkPd", [*[zeros] * full, zeros[:rest]]))
    return tuple(png.png_file((side, side), 1, png.GREY, chunks))


_KINDS: Mapping[str, Callable[..., Parts | None]] = {
    one.__name__: one for one in (missing, corrupt, white)
}
