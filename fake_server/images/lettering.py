"""Text, cleaned, broken into lines and measured, with the font that comes along.

Complex layout is switched off, so that a machine with libraqm draws what one without it draws;
scripts that need it, and those that the font lacks, are drawn as boxes.
"""

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from PIL import ImageFont

_FONT = Path(__file__).with_name("fonts") / "wqy-microhei-subset.ttf"
_LONGEST = 6000  # characters; more than the largest picture shows
_BOX = "\uffff"  # a code point that no font has
_ELLIPSIS = "\u2026"

_WIDE = "\u2e80-\u9fff\uac00-\ud7a3\uf900-\ufaff\uff01-\uff60"
_CLOSING = (
    "\u3001\u3002\u300d\u300f\u3009\u300b\u3011\u2019\u201d\uff01\uff09\uff0c\uff1a\uff1b\uff1f"
)
# What a line may not be broken within: a line end, blanks, a wide character with the marks that
# close it, a word.
_PIECE = re.compile(rf"\n|[ ]+|[{_WIDE}][{_CLOSING}]*|[^\s{_WIDE}]+")


def cleaned(text: str) -> str:
    """What there is to draw of `text`: blanks and line ends made one, invisible characters gone,
    the rest boxes.
    """
    text = unicodedata.normalize("NFC", text[:_LONGEST])
    text = re.sub(r"\s*[\n\r\v\f\x85\u2028\u2029]\s*", "\n", text)
    text = re.sub(r"[^\S\n]+", " ", text)
    return text.strip() if text.isprintable() else "".join(map(_drawable, text)).strip()


def _drawable(character: str) -> str:
    if character.isprintable() or character == "\n":
        return character
    return "" if unicodedata.category(character) == "Cf" else _BOX


@lru_cache(maxsize=32)
def font(size: int) -> ImageFont.FreeTypeFont:
    """The font at `size` pixels; opened when first asked for."""
    return ImageFont.truetype(_FONT, size, layout_engine=ImageFont.Layout.BASIC)


@lru_cache(maxsize=8192)
def _advance(character: str, size: int) -> float:
    return font(size).getlength(character)


def width(text: str, size: int) -> float:
    """How many pixels `text` takes in one line."""
    return sum(_advance(character, size) for character in text)


def wrapped(text: str, size: int, room: float) -> Iterator[str]:
    """The lines of `text`, none wider than `room` unless one character is."""
    line, used = "", 0.0
    for piece in _pieces(text, size, room):
        length = width(piece, size)
        if piece == "\n" or (line and piece != " " and used + length > room):
            yield line.rstrip()
            line, used = "", 0.0
        if line or piece not in (" ", "\n"):
            line, used = line + piece, used + length
    if line:
        yield line.rstrip()


def _pieces(text: str, size: int, room: float) -> Iterator[str]:
    """What `text` is made of; a word that no line has room for comes in parts."""
    for piece in _PIECE.findall(text):
        if width(piece, size) <= room:
            yield piece
        else:
            yield from _chopped(piece, size, room)


def _chopped(word: str, size: int, room: float) -> Iterator[str]:
    """`word`, which is wider than `room`, cut wherever it must be."""
    part, used = "", 0.0
    for character in word:
        length = _advance(character, size)
        if part and used + length > room:
            yield part
            part, used = "", 0.0
        part, used = part + character, used + length
    yield part


def shortened(text: str, size: int, room: float) -> str:
    """`text`, or as much of its beginning as leaves room for an ellipsis after it."""
    if width(text, size) <= room:
        return text
    while text and width(text + _ELLIPSIS, size) > room:
        text = text[:-1]
    return text.rstrip() + _ELLIPSIS
