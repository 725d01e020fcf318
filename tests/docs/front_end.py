"""The files of ``docs/how-to/front-end.md`` in a folder, and a folder as a site of its own."""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.docs.blocks import blocks
from tests.serving import ROOT

HOW_TO = ROOT / "docs/how-to/front-end.md"


def write_files(folder: Path, addresses: dict[str, str]) -> None:
    """The files of the how-to, with other ``addresses`` in place of its own."""
    for block in blocks(HOW_TO.read_text("utf-8")):
        if block.kind != "file":
            continue
        text = block.text
        for shown, ours in addresses.items():
            text = text.replace(shown, ours)
        file = folder / block.argument
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, "utf-8")


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        pass


@contextlib.contextmanager
def static_site(folder: Path) -> Iterator[str]:
    """Serves ``folder``; its address."""
    serve = functools.partial(_Quiet, directory=folder)
    with ThreadingHTTPServer(("127.0.0.1", 0), serve) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://localhost:{server.server_port}"
        server.shutdown()
        thread.join()
