"""What a file is: its kind, and of a picture in PNG its size and colours. Its pixels are another
run's anyway.
"""

from __future__ import annotations

import struct

_MAGIC = {
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"GIF8": "GIF",
    b"%PDF": "PDF",
    b"PK\x03\x04": "ZIP",
}
_PNG_END = b"IEND\xaeB`\x82"


def is_binary(body: bytes, media_type: str) -> bool:
    return media_type.startswith(("image/", "audio/", "video/")) or b"\0" in body[:1024]


def kind_of(body: bytes, whole: bool = True) -> str:
    """A file in words; of one of which only the beginning was kept (not ``whole``) the kind
    alone.
    """
    name = next((name for magic, name in _MAGIC.items() if body.startswith(magic)), None)
    if name is None:
        return f"no known kind, begins {body[:8].hex(' ')}" if body else "empty"
    if name != "PNG" or not whole:
        return name
    if len(body) < 26 or body[12:16] != b"IHDR":
        return "PNG without its header"
    width, height, depth, colours = struct.unpack(">IIBB", body[16:26])
    ended = "" if body.endswith(_PNG_END) else ", its end missing"
    return f"PNG {width}x{height}, {depth} bits, colour type {colours}{ended}"
