"""Text of others for a log or a terminal: what would act there instead of being shown is
escaped.
"""

from __future__ import annotations


def printable(text: str) -> str:
    """``text`` on one line, with control characters, line ends and halves of surrogate pairs as
    escapes.

    Letters of any script stay as they are.
    """
    if text.isprintable():
        return text
    return "".join(
        one if one.isprintable() else one.encode("unicode_escape").decode() for one in text
    )
