"""Generated images, drawn from a small record when they are downloaded.

Pillow and the font are loaded by the first call of ``render``, not by importing this package.
"""

from typing import NamedTuple


class ImageRecord(NamedTuple):
    """What an image is drawn from; equal records give equal bytes in every process."""

    prompt: str
    model: str
    seed: int
    width: int = 512
    height: int = 512
    steps: int = 20
    negative_prompt: str = ""


def render(record: ImageRecord) -> bytes:
    """The PNG file of ``record``, for any prompt and any size from 1x1. Thread-safe; not cached."""
    from fake_server.images import drawing

    return drawing.draw(record)
