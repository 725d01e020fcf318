"""``python -m tests.scenario_docs``: write the document and the schema anew."""

from __future__ import annotations

from fake_server.scenarios.about import SCHEMA
from tests.scenario_docs.pages import scenarios_page, schema_text
from tests.serving import ROOT

PAGE = ROOT / "docs" / "scenarios.md"


def main() -> None:
    """Write both files."""
    PAGE.write_text(scenarios_page(), "utf-8")
    SCHEMA.write_text(schema_text(), "utf-8")
    print(f"{PAGE.relative_to(ROOT)} and {SCHEMA.relative_to(ROOT)} are written")


if __name__ == "__main__":
    main()
