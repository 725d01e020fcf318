"""Leads links of a page to files outside of docs/ to the repository; MkDocs calls this hook."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any

_LINK = re.compile(r"(?<=\]\()(?!https?:|mailto:|#)([^)\s#]+)(#[^)\s]*)?(?=\))")
_log = logging.getLogger("mkdocs.plugins.links")  # a warning there fails a strict build


def on_page_markdown(markdown: str, *, page: Any, config: Any, files: Any) -> str:
    """The page with every such link led to ``repo_url``; one that leads nowhere is a warning."""
    docs = Path(config["docs_dir"]).resolve()
    here = (docs / page.file.src_uri).parent

    def led(match: re.Match[str]) -> str:
        target = (here / match[1]).resolve()
        if target.is_relative_to(docs):
            file = files.get_file_from_path(target.relative_to(docs).as_posix())
            if file is not None and file.inclusion.is_included():
                return match[0]
        if not target.exists():
            if not target.is_relative_to(docs):
                _log.warning("%s links to %s, which is not there", page.file.src_uri, match[1])
            return match[0]
        kind = "tree" if target.is_dir() else "blob"
        path = target.relative_to(docs.parent).as_posix()
        return f"{config['repo_url']}/{kind}/main/{path}{match[2] or ''}"

    return _LINK.sub(led, markdown)
