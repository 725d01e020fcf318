"""The picture itself: a pattern, and on it a card with the prompt in large letters, the model, the
seed and a mark.

Every pixel is an index into a palette of 14 colours: five from one tone of the pattern to the
other, then the card, four steps from it to the ink and four to the accent. A mask of letters
becomes indices by a table, so that smooth edges cost nothing.
"""

import colorsys
from dataclasses import dataclass
from itertools import islice
from threading import Lock

from PIL import Image, ImageDraw

from fake_server.images import lettering, pattern, png
from fake_server.images.image import Picture, fingerprint, parameters

_SHADES = 5
_CARD = _SHADES
_STEPS = 4
_INK = [_CARD + round(value / 255 * _STEPS) for value in range(256)]
_ACCENT = [index + _STEPS if index > _CARD else _CARD for index in _INK]

_MARK = "FAKE PICTURE"
_NO_PROMPT = "(empty prompt)"
_SMALLEST_WITH_CARD = 48  # pixels a side; below, there is only the pattern
_SMALLEST_WITH_CAPTION = 128
_SMALLEST_LETTERS = 9
_LEADING = 1.3  # from one baseline to the next, in font sizes
_BASELINE = 1.0  # from the top of a line to its baseline, likewise

_lettering = Lock()  # FreeType's faces are not for several threads at once

_Rgb = tuple[float, ...]


def draw(picture: Picture) -> bytes:
    """The PNG file of `picture`."""
    choices = fingerprint(picture)
    canvas = pattern.draw((picture.width, picture.height), choices, _SHADES)
    if min(canvas.size) >= _SMALLEST_WITH_CARD:
        with _lettering:
            _put_card(canvas, picture)
    return png.encode(canvas, _palette(choices[5:]), parameters(picture))


def _palette(choices: bytes) -> bytes:
    """Two tones of the pattern, neighbours or opposites on the colour wheel, and a card and letters
    of their hue.
    """
    hue = (choices[0] * 256 + choices[1]) / 65536
    other = hue + (0.08, -0.08, 0.14, -0.14, 0.45)[choices[2] % 5]
    deep, light = ((0.26, 0.40), (0.34, 0.62), (0.48, 0.66), (0.64, 0.80))[choices[3] % 4]
    first, second = (
        colorsys.hls_to_rgb(hue % 1, deep, 0.45),
        colorsys.hls_to_rgb(other % 1, light, 0.50),
    )
    card, ink = colorsys.hls_to_rgb(hue % 1, 0.97, 0.5), colorsys.hls_to_rgb(hue % 1, 0.13, 0.3)
    accent = colorsys.hls_to_rgb(other % 1, 0.36, 0.6)
    colours = [
        *_ramp(first, second, _SHADES - 1),
        *_ramp(card, ink, _STEPS),
        *_ramp(card, accent, _STEPS)[1:],
    ]
    return bytes(round(255 * part) for colour in colours for part in colour)


def _ramp(start: _Rgb, end: _Rgb, steps: int) -> list[_Rgb]:
    """From `start` to `end` in so many steps, both included."""
    shares = (step / steps for step in range(steps + 1))
    return [tuple(p + (q - p) * share for p, q in zip(start, end, strict=True)) for share in shares]


@dataclass(frozen=True, slots=True)
class _Style:
    """How a card may be set: all lengths in pixels, letters from the largest size to the
    smallest.
    """

    margin: int
    padding: int
    tallest: int
    sizes: range


def _styles(width: int, height: int) -> tuple[_Style, _Style]:
    """A roomy card that leaves the pattern in sight, and a tight one for what does not fit
    there.
    """
    unit = min(width, height)
    large, medium, small = (
        max(_SMALLEST_LETTERS, round(unit * share)) for share in (0.12, 0.04, 0.022)
    )
    margin, narrow = round(unit * 0.055), max(2, round(unit * 0.025))
    return (
        _Style(margin, round(unit * 0.05), round(height * 0.66), range(large, medium - 1, -2)),
        _Style(
            narrow, max(2, round(unit * 0.03)), height - 2 * narrow, range(medium, small - 1, -1)
        ),
    )


def _put_card(canvas: Image.Image, picture: Picture) -> None:
    """Set the card on the canvas, as low as its margin allows."""
    text = lettering.cleaned(picture.prompt) or _NO_PROMPT
    for style in _styles(*canvas.size):
        room = canvas.width - 2 * (style.margin + style.padding)
        footer = _footer(picture, min(canvas.size), room)
        foot = footer.height if footer else 0
        size, lines, whole = _set(text, style, room, style.tallest - 2 * style.padding - foot)
        if whole:
            break
    body = _letters(lines, size, room)
    card = Image.new("L", (room + 2 * style.padding, body.height + foot + 2 * style.padding), _CARD)
    card.paste(body, (style.padding, style.padding))
    if footer:
        card.paste(footer, (style.padding, style.padding + body.height))
    canvas.paste(card, (style.margin, canvas.height - style.margin - card.height))


def _set(text: str, style: _Style, width: int, height: int) -> tuple[int, list[str], bool]:
    """The largest size at which `text` fits, its lines, and whether that is all of it."""
    largest, smallest = style.sizes[0], style.sizes[-1]
    length = lettering.width(text, largest) / largest
    for size in style.sizes:
        capacity = max(1, int(height / (size * _LEADING)))
        if size > smallest and length * size > 1.1 * capacity * width:
            continue  # hopeless, a tenth allowed for the rounding of widths
        lines = list(islice(lettering.wrapped(text, size, width), capacity + 1))
        if len(lines) <= capacity:
            return size, lines, True
    last = lettering.shortened(lines[capacity - 1] + lines[capacity], size, width)
    return size, [*lines[: capacity - 1], last], False


def _letters(lines: list[str], size: int, width: int, table: list[int] = _INK) -> Image.Image:
    """The lines one below the other, as indices into the palette."""
    mask = Image.new("L", (width, round(len(lines) * size * _LEADING)))
    pen = ImageDraw.Draw(mask)
    for number, line in enumerate(lines):
        baseline = round((number * _LEADING + _BASELINE) * size)
        pen.text((0, baseline), line, fill=255, font=lettering.font(size), anchor="ls")
    return mask.point(table)


def _footer(picture: Picture, unit: int, width: int) -> Image.Image | None:
    """A rule, the caption and the mark: side by side where there is room for both, else one above
    the other.
    """
    if unit < _SMALLEST_WITH_CAPTION:
        return None
    size = max(_SMALLEST_LETTERS, round(unit * 0.026))
    mark = _letters([_MARK], size, round(lettering.width(_MARK, size)) + 1, _ACCENT)
    seed = f" \u00b7 seed {picture.seed}"
    name = lettering.cleaned(picture.model).replace("\n", " ")
    beside = width - mark.width - size
    below = lettering.width(name + seed, size) > beside
    name = lettering.shortened(
        name, size, (width if below else beside) - lettering.width(seed, size)
    )
    caption = _letters([name + seed], size, width if below else beside)
    gap = round(size * 0.8)
    footer = Image.new(
        "L", (width, 2 * gap + caption.height + (mark.height if below else 0)), _CARD
    )
    footer.paste(_CARD + _STEPS + 2, (0, gap, width, gap + max(1, size // 14)))
    footer.paste(caption, (0, 2 * gap))
    footer.paste(mark, (0, 2 * gap + caption.height) if below else (width - mark.width, 2 * gap))
    return footer
