"""Text in the bundled font: cleaned, measured and broken into lines.

Complex layout is off, so that the same text is drawn with and without libraqm. Scripts that need
it, and characters that the font lacks, are drawn as boxes.
"""

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from PIL import ImageFont

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
        for piece in part if line_width(part, size) > width else (part,):
            length = line_width(piece, size)
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
