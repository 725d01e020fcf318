"""A comparison as one page, of the same make as the report of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from contract.diff.comparison import Comparison
from contract.report.html import template


def html(
    comparison: Comparison,
    since: Mapping[tuple[str, ...], str] | None = None,
    gone: Sequence[str] = (),
) -> str:
    """The comparison as an HTML page. ``since`` tells of a difference's identity since when it has
    been there.
    """
    left_out = sum(map(len, comparison.not_compared.values()))
    return template("diff.html").render(
        comparison=comparison, left_out=left_out, since=since or {}, gone=gone
    )


def write_html(
    comparison: Comparison,
    path: Path,
    since: Mapping[tuple[str, ...], str] | None = None,
    gone: Sequence[str] = (),
) -> None:
    path.write_text(html(comparison, since, gone), encoding="utf-8")
