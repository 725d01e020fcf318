"""PNG files, in parts."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence

GREY, INDEXED = 0, 3
"""Types of pixels: shades, and indices into a palette."""

Part = tuple[bytes, Sequence[bytes]]
"""A chunk of a file: its kind, and its data in pieces."""


def png_file(side: tuple[int, int], bits: int, pixels: int, parts: Sequence[Part]) -> list[bytes]:
    """A file of the size ``side``, with ``bits`` for each of its ``pixels`` (``GREY``…)."""
    header = struct.pack(">IIBBBBB", *side, bits, pixels, 0, 0, 0)
    chunks: list[Part] = [(b"IHDR", [header]), *parts, (b"IEND", [])]
    return [b"\x89PNG\r\n\x1a\n", *(piece for chunk in chunks for piece in _chunk(*chunk))]


def text(key: str, value: str) -> Part:
    """A text that goes with the image."""
    try:
        return b"tEXt", [b"%b\0%b" % (key.encode("latin-1"), value.encode("latin-1"))]
    except UnicodeEncodeError:
        # neither compressed nor of any language
        return b"iTXt", [b"%b\0\0\0\0\0%b" % (key.encode("latin-1"), value.encode("utf-8"))]


def _chunk(kind: bytes, data: Sequence[bytes]) -> list[bytes]:
    checksum = zlib.crc32(kind)
    for piece in data:
        checksum = zlib.crc32(piece, checksum)
    head = struct.pack(">I", sum(map(len, data))) + kind
    return [head, *data, struct.pack(">I", checksum)]
