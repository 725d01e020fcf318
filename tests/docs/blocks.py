"""The code blocks of a page of Markdown, each with the comment that says how it is tested."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.pages.markdown import BEGIN, END

KINDS = frozenset({"serve", "stop", "run", "output", "file", "pytest", "check", "npm", "not run"})

_FENCE = re.compile(r"^(?P<indent>[ ]*)(?P<fence>`{3,})(?P<language>[\w+-]*)")
_COMMENT = re.compile(r"^\s*<!-- (?P<kind>[a-z ]+?)(?:: (?P<argument>.+?))? -->\s*$")


@dataclass(frozen=True, slots=True)
class Block:
    """A code block, or a comment that stands alone (``stop``).

    ``kind`` is empty where no comment stands before the block. ``line`` is that of its fence.
    """

    line: int
    language: str
    kind: str
    argument: str
    text: str


def pages(root: Path) -> list[Path]:
    """The README of each language and every page of the docs."""
    return [*sorted(root.glob("README*.md")), *sorted((root / "docs").rglob("*.md"))]


def blocks(text: str) -> Iterator[Block]:
    """The blocks of a page in their order; those that are generated only where a comment stands
    before them. Raises ``ValueError`` for a fence that stays open.
    """
    comment, generated = ("", ""), False
    lines = iter(enumerate(text.splitlines(), 1))
    for number, line in lines:
        fence = _FENCE.match(line)
        if fence is not None:
            body = list(_body(lines, fence["fence"], number))
            code = textwrap.dedent("".join(f"{one}\n" for one in body))
            if comment[0] or not generated:
                yield Block(number, fence["language"], *comment, code)
        generated = line == BEGIN or (generated and line != END)
        marked = _COMMENT.match(line)
        if marked is not None and marked["kind"] == "stop":
            yield Block(number, "", "stop", "", "")
        if marked is not None and marked["kind"] in KINDS:
            comment = (marked["kind"], marked["argument"] or "")
        elif line.strip():
            comment = ("", "")


def _body(lines: Iterator[tuple[int, str]], fence: str, opened: int) -> Iterator[str]:
    for _, line in lines:
        if line.strip() == fence:
            return
        yield line
    raise ValueError(f"line {opened}: this code block has no end")
