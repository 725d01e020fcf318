"""A PNG of up to 16 colours, written with the standard library alone.

Pillow's own writer would do, but loading it takes longer than drawing the picture: it brings four
more formats along.
"""

import struct
import zlib
from collections.abc import Iterator

from PIL import Image

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GREY, _INDEXED = 0, 3  # PNG 3rd edition, 11.2.1, colour type
_LEVEL = 3  # a fifth larger than 6, in less than half the time
_ZEROS = bytes(1 << 16)


def encode(image: Image.Image, palette: bytes, text: str) -> bytes:
    """The file of `image`, each pixel of which is an index into `palette`, with `text` as its
    `parameters`.
    """
    header = struct.pack(">IIBBBBB", *image.size, 4, _INDEXED, 0, 0, 0)
    return b"".join((
        _SIGNATURE,
        _chunk(b"IHDR", header),
        _text_chunk("parameters", text),
        _chunk(b"PLTE", palette),
        _chunk(b"IDAT", zlib.compress(_scanlines(image), _LEVEL)),
        _chunk(b"IEND", b""),
    ))  # fmt: skip


def blank(side: int, padding: int) -> tuple[bytes, ...]:
    """A white square of ``side`` pixels at one bit each, with ``padding`` bytes in a chunk that
    decoders pass over.

    In parts, one after the other the file: the padding is the same few bytes again and again, and
    takes no memory.
    """
    row = b"\0" + b"\xff" * ((side + 7) // 8)
    packer = zlib.compressobj(_LEVEL)
    rows = b"".join([*(packer.compress(row) for _ in range(side)), packer.flush()])
    header = _chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 1, _GREY, 0, 0, 0))
    return (_SIGNATURE + header, *_padding(padding), _chunk(b"IDAT", rows) + _chunk(b"IEND", b""))


def _padding(size: int) -> Iterator[bytes]:
    """A chunk of ``size`` zeros in parts; nothing where there are none."""
    if not size:
        return
    kind = b"fkPd"
    yield struct.pack(">I", size) + kind
    crc = zlib.crc32(kind)
    for start in range(0, size, len(_ZEROS)):
        part = _ZEROS if size - start >= len(_ZEROS) else _ZEROS[: size - start]
        crc = zlib.crc32(part, crc)
        yield part
    yield struct.pack(">I", crc)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _text_chunk(key: str, text: str) -> bytes:
    """tEXt where Latin-1 can say it, iTXt otherwise: Pillow's `PngInfo.add_text`, with which WebUI
    writes.
    """
    try:
        return _chunk(b"tEXt", key.encode("latin-1") + b"\0" + text.encode("latin-1"))
    except UnicodeEncodeError:
        return _chunk(b"iTXt", key.encode("latin-1") + b"\0\0\0\0\0" + text.encode("utf-8"))


def _scanlines(image: Image.Image) -> bytes:
    """Four bits a pixel. Two pixels of index 0 before each row are the byte 0 that PNG wants there:
    no filter.
    """
    width, height = image.size
    rows = image.crop((-2, 0, width, height))
    rows.putpalette(b"\0\0\0")
    return rows.tobytes("raw", "P;4")
