"""Pictures to download: drawn from a small record, with nothing to install and nothing to look up.

Pillow and the font are loaded by the first call of `render`, not by importing this package.
"""

from fake_server.images.image import Picture

__all__ = ["Picture", "render"]


def render(picture: Picture) -> bytes:
    """The PNG file of `picture`: for an equal record the same pixels, in every process with the
    same Pillow.

    Any prompt and any size from 1x1 can be drawn; no picture is remembered; threads may call it at
    the same time.
    """
    from fake_server.images import drawing

    return drawing.draw(picture)
