"""Write ``docs/upgrades`` anew: ``python -m tests.upgrade_docs``."""

from __future__ import annotations

import sys

from tests.upgrade_docs.pages import FOLDER, pages

for name, text in pages().items():
    (FOLDER / name).write_text(text, "utf-8")
    sys.stdout.write(f"docs/upgrades/{name} is written\n")
