"""``python -m tests.pages [NAME…]``: write the generated pages of the docs anew, or some."""

from __future__ import annotations

import sys

from tests.pages.made import MAKERS, made
from tests.serving import ROOT

names = sys.argv[1:] or list(MAKERS)
if unknown := set(names) - MAKERS.keys():
    sys.exit(f"No page is named {', '.join(sorted(unknown))}; there are {', '.join(MAKERS)}")
for name in names:
    for path, text in made(name).items():
        file = ROOT / path
        if not file.exists() or file.read_text("utf-8") != text:
            file.write_text(text, "utf-8")
            sys.stdout.write(f"{path} is written\n")
