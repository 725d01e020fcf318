"""Draws an image: a pattern, and on it a card with the prompt in large letters, model and seed.

Every pixel is an index into a palette of 14 colours: five shades of the pattern, then the card,
four steps from it to the ink and four to the accent.
"""

from __future__ import annotations

import colorsys
import hashlib
import json
import math
import re
import unicodedata
import zlib
from collections.abc import Iterator
from functools import cache, lru_cache
from itertools import islice
from pathlib import Path
from threading import Lock

from PIL import Image, ImageDraw, ImageFont

from fake_server.images import ImageRecord, png

_FONT = Path(__file__).with_name("fonts") / "wqy-microhei-subset.ttf"
_MAX_CHARACTERS = 6000  # more than the largest image shows
_BOX = "\uffff"  # a code point that no font has
_ELLIPSIS = "\u2026"

_WIDE = "\u2e80-\u9fff\uac00-\ud7a3\uf900-\ufaff\uff01-\uff60"
_CLOSING = (
    "\u3001\u3002\u300d\u300f\u3009\u300b\u3011\u2019\u201d\uff01\uff09\uff0c\uff1a\uff1b\uff1f"
)
# A line end, blanks, a wide character with its closing punctuation, a word: no line breaks inside.
_UNBREAKABLE = re.compile(rf"\n|[ ]+|[{_WIDE}][{_CLOSING}]*|[^\s{_WIDE}]+")


def clean(text: str) -> str:
    """The drawable form of ``text``: single blanks and line ends, nothing invisible, boxes."""
    text = unicodedata.normalize("NFC", text[:_MAX_CHARACTERS])
    text = re.sub(r"\s*[\n\r\v\f\x85\u2028\u2029]\s*", "\n", text)
    text = re.sub(r"[^\S\n]+", " ", text)
    return "".join(map(_drawable, text)).strip()


def _drawable(character: str) -> str:
    if character.isprintable() or character == "\n":
        return character
    return "" if unicodedata.category(character) == "Cf" else _BOX


@lru_cache(maxsize=32)
def font(size: int) -> ImageFont.FreeTypeFont:
    """The font at ``size`` pixels."""
    return ImageFont.truetype(_FONT, size, layout_engine=ImageFont.Layout.BASIC)


@lru_cache(maxsize=8192)
def _advance(character: str, size: int) -> float:
    return font(size).getlength(character)


def line_width(text: str, size: int) -> float:
    """The width of ``text`` in pixels, on one line."""
    return sum(_advance(character, size) for character in text)


def wrap(text: str, size: int, width: float) -> Iterator[str]:
    """The lines of ``text``; only a single character can be wider than ``width``."""
    line, used = "", 0.0
    for part in _UNBREAKABLE.findall(text):
        length = line_width(part, size)
        for piece in part if length > width else (part,):
            if piece is not part:
                length = _advance(piece, size)
            if piece == "\n" or (line and piece != " " and used + length > width):
                yield line.rstrip()
                line, used = "", 0.0
            if line or piece not in (" ", "\n"):
                line, used = line + piece, used + length
    if line:
        yield line.rstrip()


def shorten(text: str, size: int, width: float) -> str:
    """``text``, or the start of it with an ellipsis."""
    if line_width(text, size) <= width:
        return text
    while text and line_width(text + _ELLIPSIS, size) > width:
        text = text[:-1]
    return text.rstrip() + _ELLIPSIS


_SHADES = 5
_CARD = _SHADES
_STEPS = 4
_INK = [_CARD + round(value / 255 * _STEPS) for value in range(256)]
_ACCENT = [index + _STEPS if index > _CARD else _CARD for index in _INK]

_MARK = "FAKE IMAGE"
_NO_PROMPT = "(empty prompt)"
_MIN_SIDE_WITH_CARD = 48  # pixels; a smaller image has only the pattern
_MIN_SIDE_WITH_CAPTION = 128
_MIN_FONT_SIZE = 9
_LINE_HEIGHT = 1.3  # in font sizes
_OVERSAMPLING = 3  # the pattern is drawn this much larger and reduced, for smooth edges
_BITS = 4  # an index into the palette
_COMPRESS_LEVEL = 2  # a tenth larger than level 4, in half the time

# Dify's Stable Diffusion tool asks for both by name, whatever the workflow says.
_SAMPLER = "DPM++ SDE Karras"
_CFG_SCALE = 7

_freetype_lock = Lock()  # a FreeType face is not thread-safe

_Rgb = tuple[float, ...]


def draw(record: ImageRecord) -> bytes:
    """The PNG file of ``record``."""
    identity = (record.prompt, record.model, record.seed, record.steps, record.negative_prompt)
    choices = hashlib.sha256(json.dumps(identity).encode("ascii")).digest()
    canvas = _pattern((record.width, record.height), choices)
    if min(canvas.size) >= _MIN_SIDE_WITH_CARD:
        with _freetype_lock:
            _draw_card(canvas, record)
    palette = bytes(_palette(choices[7:]))
    canvas.putpalette(palette)
    packed = canvas.tobytes("raw", f"P;{_BITS}")
    row = len(packed) // canvas.height
    rows = b"".join(b"\0" + packed[at : at + row] for at in range(0, len(packed), row))
    parts: list[png.Part] = [
        png.text("parameters", _infotext(record)),
        (b"PLTE", [palette]),
        (b"IDAT", [zlib.compress(rows, _COMPRESS_LEVEL)]),
    ]
    return b"".join(png.png_file(canvas.size, _BITS, png.INDEXED, parts))


def _infotext(record: ImageRecord) -> str:
    """The ``parameters`` text of WebUI's ``create_infotext``: prompt, negative prompt, settings.

    What Unicode or PNG does not allow becomes U+FFFD.
    """
    model = record.model
    quoted = any(mark in model for mark in ",\n:")  # WebUI's ``quote``
    pairs = {
        "Steps": record.steps,
        "Sampler": _SAMPLER,
        "CFG scale": _CFG_SCALE,
        "Seed": record.seed,
        "Size": f"{record.width}x{record.height}",
        "Model hash": hashlib.sha256(model.encode("utf-8", "surrogatepass")).hexdigest()[:10],
        "Model": json.dumps(model, ensure_ascii=False) if quoted else model,
    }
    negative = f"\nNegative prompt: {record.negative_prompt}" if record.negative_prompt else ""
    settings = ", ".join(f"{key}: {value}" for key, value in pairs.items())
    text = f"{record.prompt}{negative}\n{settings}".strip().replace("\0", "\ufffd")
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _pattern(size: tuple[int, int], choices: bytes) -> Image.Image:
    """An image of ``size`` in shades 0 to 4: a tile with concentric shapes, repeated."""
    side = max(8, min(size) // (4 + choices[0] % 3) // 2 * 2)
    large = side * _OVERSAMPLING
    tile = Image.new("L", (large, large))
    pen = ImageDraw.Draw(tile)
    middle, corner = large // 2, large * (0.26 - choices[1] % 4 * 0.05)
    circles = [(0, 0, corner), (0, large, corner), (large, 0, corner), (large, large, corner)]
    corners = _corners((4, 4, 6, 8, 60, 60)[choices[2] % 6], choices[3] % 2 * 45)
    for x, y, radius in (*circles, (middle, middle, large * 0.6 - corner)):
        for ring in range(1 + choices[4] % 4):
            fill = 0 if ring % 2 else 255
            reach = radius * (1 - ring / 4)
            pen.polygon([(x + reach * right, y + reach * down) for right, down in corners], fill)
    inverted = choices[5] % 2
    shades = [
        round((255 - value if inverted else value) / 255 * (_SHADES - 1)) for value in range(256)
    ]
    tile = tile.reduce(_OVERSAMPLING).point(shades)
    whole = Image.new("L", size)
    for x in range(0, size[0], side):
        for y in range(0, size[1], side):
            whole.paste(tile, (x, y))
    return whole


@cache
def _corners(sides: int, turn: int) -> list[tuple[float, float]]:
    """The corners of a regular polygon around 0, turned by ``turn`` degrees; Pillow's own are made
    anew for each shape, which takes as long as all the rest of a pattern.
    """
    angles = (math.radians((side + 0.5) * 360 / sides + turn) for side in range(sides))
    return [(math.sin(angle), math.cos(angle)) for angle in angles]


def _palette(choices: bytes) -> list[int]:
    """Two tones for the pattern, a card and letters of the same hue."""
    hue = (choices[0] * 256 + choices[1]) / 65536
    other = hue + (0.08, -0.08, 0.14, -0.14, 0.45)[choices[2] % 5]
    deep, light = ((0.26, 0.40), (0.34, 0.62), (0.48, 0.66), (0.64, 0.80))[choices[3] % 4]
    first = colorsys.hls_to_rgb(hue % 1, deep, 0.45)
    second = colorsys.hls_to_rgb(other % 1, light, 0.50)
    card = colorsys.hls_to_rgb(hue % 1, 0.97, 0.5)
    ink = colorsys.hls_to_rgb(hue % 1, 0.13, 0.3)
    accent = colorsys.hls_to_rgb(other % 1, 0.36, 0.6)
    colours = [
        *_ramp(first, second, _SHADES - 1),
        *_ramp(card, ink, _STEPS),
        *_ramp(card, accent, _STEPS)[1:],
    ]
    return [round(255 * part) for colour in colours for part in colour]


def _ramp(start: _Rgb, end: _Rgb, steps: int) -> list[_Rgb]:
    shares = (step / steps for step in range(steps + 1))
    return [tuple(p + (q - p) * share for p, q in zip(start, end, strict=True)) for share in shares]


def _draw_card(canvas: Image.Image, record: ImageRecord) -> None:
    unit = min(canvas.size)
    margin, padding = round(unit * 0.055), round(unit * 0.05)
    width = canvas.width - 2 * (margin + padding)
    footer = _footer(record, unit, width) if unit >= _MIN_SIDE_WITH_CAPTION else None
    footer_height = footer.height if footer else 0
    max_height = round(canvas.height * 0.8) - 2 * padding - footer_height
    size, lines = _fit(clean(record.prompt) or _NO_PROMPT, unit, width, max_height)
    body = _letters(lines, size, width, _INK)
    card_size = (width + 2 * padding, body.height + footer_height + 2 * padding)
    card = Image.new("L", card_size, _CARD)
    card.paste(body, (padding, padding))
    if footer:
        card.paste(footer, (padding, padding + body.height))
    canvas.paste(card, (margin, canvas.height - margin - card.height))


def _fit(text: str, unit: int, width: int, height: int) -> tuple[int, list[str]]:
    """The largest font size at which ``text`` fits, and its lines; shortened if none is."""
    largest, smallest = (max(_MIN_FONT_SIZE, round(unit * share)) for share in (0.12, 0.022))
    relative_length = line_width(text, largest) / largest
    for size in range(largest, smallest - 1, -1):
        capacity = max(1, int(height / (size * _LINE_HEIGHT)))
        if size > smallest and relative_length * size > 1.1 * capacity * width:
            continue  # hopeless, with a tenth for the rounding of widths
        lines = list(islice(wrap(text, size, width), capacity + 1))
        if len(lines) <= capacity:
            return size, lines
    last = shorten(lines[capacity - 1] + lines[capacity], size, width)
    return size, [*lines[: capacity - 1], last]


def _letters(lines: list[str], size: int, width: int, table: list[int]) -> Image.Image:
    """The lines one below the other, as indices into the palette."""
    mask = Image.new("L", (width, round(len(lines) * size * _LINE_HEIGHT)))
    pen = ImageDraw.Draw(mask)
    for number, line in enumerate(lines):
        baseline = round((number * _LINE_HEIGHT + 1) * size)
        pen.text((0, baseline), line, fill=255, font=font(size), anchor="ls")
    return mask.point(table)


def _footer(record: ImageRecord, unit: int, width: int) -> Image.Image:
    """A rule, and below it model and seed on the left, the mark on the right."""
    size = max(_MIN_FONT_SIZE, round(unit * 0.026))
    mark = _letters([_MARK], size, round(line_width(_MARK, size)) + 1, _ACCENT)
    seed = f" \u00b7 seed {record.seed}"
    name = clean(record.model).replace("\n", " ")
    name_width = width - mark.width - size - line_width(seed, size)
    caption = _letters([shorten(name, size, name_width) + seed], size, width, _INK)
    gap = round(size * 0.8)
    footer = Image.new("L", (width, 2 * gap + caption.height), _CARD)
    footer.paste(_CARD + _STEPS + 2, (0, gap, width, gap + max(1, size // 14)))
    footer.paste(caption, (0, 2 * gap))
    footer.paste(mark, (width - mark.width, 2 * gap))
    return footer
