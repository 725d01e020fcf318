"""Write ``docs/limits.md`` anew: ``python -m tests.limit_docs``."""

from __future__ import annotations

import sys

from tests.limit_docs.page import PAGE, limits_page

PAGE.write_text(limits_page(), "utf-8")
sys.stdout.write("docs/limits.md is written\n")
