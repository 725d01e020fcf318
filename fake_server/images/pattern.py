"""The background: one motif, drawn as a tile whose edges meet, in as many shades as there are
smooth edges to draw.
"""

import math
from collections.abc import Callable

from PIL import Image, ImageDraw

_OVERSAMPLING = 3  # the tile is drawn this much larger and reduced, so that its curves are smooth
_WHITE = 255


def draw(size: tuple[int, int], choices: bytes, levels: int) -> Image.Image:
    """A picture of `size` whose pixels are 0 to `levels` - 1; `choices` are five bytes that say how
    it looks.
    """
    motif, scale, turn, variant, swap = choices[:5]
    side = max(
        8, min(size) // (4, 5, 6)[scale % 3] // 2 * 2
    )  # even, so that repeated bytes are equal and pack well
    large = Image.new("L", (side * _OVERSAMPLING,) * 2)
    _MOTIFS[motif % len(_MOTIFS)](ImageDraw.Draw(large), side * _OVERSAMPLING, variant)
    tile = large.reduce(_OVERSAMPLING).point(_shades(levels, inverted=bool(swap % 2)))
    if turn % 2:
        tile = tile.transpose(Image.Transpose.ROTATE_90)
    return _tiled(tile, size)


def _shades(levels: int, *, inverted: bool) -> list[int]:
    shades = [round(value / 255 * (levels - 1)) for value in range(256)]
    return shades[::-1] if inverted else shades


def _tiled(tile: Image.Image, size: tuple[int, int]) -> Image.Image:
    width, height = size
    row = Image.new("L", (width, tile.height))
    for x in range(0, width, tile.width):
        row.paste(tile, (x, 0))
    whole = Image.new("L", size)
    for y in range(0, height, tile.height):
        whole.paste(row, (0, y))
    return whole


def _disc(draw: ImageDraw.ImageDraw, x: float, y: float, radius: float, fill: int = _WHITE) -> None:
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=fill)


def _dots(draw: ImageDraw.ImageDraw, side: int, variant: int) -> None:
    half = side / 2
    for x, y in ((0, 0), (side, 0), (0, side), (side, side)):
        _disc(draw, x, y, side * 0.24)
    _disc(draw, half, half, side * (0.12, 0.18, 0.24)[variant % 3])


def _rings(draw: ImageDraw.ImageDraw, side: int, variant: int) -> None:
    half = side / 2
    for ring in range(4):
        _disc(draw, half, half, side * (0.46 - 0.12 * ring), _WHITE if ring % 2 == 0 else 0)
    if variant % 2:
        for x, y in ((0, 0), (side, 0), (0, side), (side, side)):
            _disc(draw, x, y, side * 0.15)


def _scales(draw: ImageDraw.ImageDraw, side: int, variant: int) -> None:
    """Overlapping discs, row over row, as on a roof or a fish."""
    radius = side / 2
    for row in range(6):
        for x in (radius,) if row % 2 else (0, side):
            for ring in range(2 + variant % 2 * 2):
                _disc(
                    draw, x, row * radius / 2, radius * (1 - 0.24 * ring), 0 if ring % 2 else _WHITE
                )


def _arcs(draw: ImageDraw.ImageDraw, side: int, variant: int) -> None:
    """Truchet's tiles: quarter rings around two opposite corners, and each of the four tiles may be
    turned.
    """
    cell = side / 2
    for index in range(4):
        left, top = index % 2 * cell, index // 2 * cell
        turned = variant >> index & 1
        for x, y in ((left, top + cell * turned), (left + cell, top + cell * (1 - turned))):
            start = (0 if x == left else 90) if y == top else (270 if x == left else 180)
            for radius, fill in ((0.66, _WHITE), (0.34, 0)):
                r = cell * radius
                draw.pieslice((x - r, y - r, x + r, y + r), start, start + 90, fill=fill)


def _quarters(draw: ImageDraw.ImageDraw, side: int, variant: int) -> None:
    """A quarter disc in each of four cells, around one corner or the other."""
    cell = side / 2
    for index in range(4):
        left, top = index % 2 * cell, index // 2 * cell
        corner = variant >> 2 * index & 3
        x, y = left + cell * (corner in (1, 2)), top + cell * (corner in (2, 3))
        box = (x - cell, y - cell, x + cell, y + cell)
        draw.pieslice(box, 90 * corner, 90 * corner + 90, fill=_WHITE)


def _chevrons(draw: ImageDraw.ImageDraw, side: int, variant: int) -> None:
    rise = side * (0.25, 0.5)[variant % 2]
    for top in (-side, -side / 2, 0, side / 2, side):
        upper = [(0, top + rise), (side / 2, top), (side, top + rise)]
        draw.polygon(upper + [(x, y + side / 4) for x, y in reversed(upper)], fill=_WHITE)


def _diamonds(draw: ImageDraw.ImageDraw, side: int, variant: int) -> None:
    half = side / 2
    for size, fill in ((half, _WHITE), (half * (0.6, 0.45)[variant % 2], 0), (half * 0.22, _WHITE)):
        draw.polygon(
            [(half, half - size), (half + size, half), (half, half + size), (half - size, half)],
            fill=fill,
        )


def _waves(draw: ImageDraw.ImageDraw, side: int, variant: int) -> None:
    height = side * (0.07, 0.12)[variant % 2]
    xs = [side * step / 24 for step in range(25)]
    for top in (-side / 2, 0, side / 2, side):
        upper = [(x, top + height * math.sin(2 * math.pi * x / side)) for x in xs]
        draw.polygon(upper + [(x, y + side / 4) for x, y in reversed(upper)], fill=_WHITE)


_MOTIFS: tuple[Callable[[ImageDraw.ImageDraw, int, int], None], ...] = (
    _dots,
    _rings,
    _scales,
    _arcs,
    _quarters,
    _chevrons,
    _diamonds,
    _waves,
)
