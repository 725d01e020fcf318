"""Images that a broken host serves instead of its own."""

from __future__ import annotations

import functools
import io
import zlib

from PIL import Image


@functools.cache
def small_png(size: tuple[int, int] = (1, 1), colour: str = "red") -> bytes:
    """An image of one colour."""
    return _encoded(Image.new("RGB", size, colour), "PNG")


def converted(png: bytes, kind: str) -> bytes:
    """The same image as JPEG, GIF or WEBP."""
    return _encoded(Image.open(io.BytesIO(png)).convert("RGB"), kind)


def with_text(png: bytes, text: str) -> bytes:
    """The same image with one more text chunk before its end."""
    return png[:-12] + _chunk(b"tEXt", b"Comment\0" + text.encode()) + png[-12:]


def with_size_in_header(png: bytes, width: int) -> bytes:
    """A PNG whose header has another width than its data has."""
    return png[:8] + _chunk(b"IHDR", width.to_bytes(4, "big") + png[20:29]) + png[33:]


def _chunk(kind: bytes, data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")


def _encoded(image: Image.Image, kind: str) -> bytes:
    out = io.BytesIO()
    image.save(out, kind)
    return out.getvalue()
