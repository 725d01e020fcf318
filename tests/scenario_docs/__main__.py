"""``python -m tests.scenario_docs``: write the document, the schema and the types anew."""

from __future__ import annotations

from fake_server.scenarios.rules import SCHEMA
from tests.scenario_docs.pages import scenarios_page, schema_text
from tests.scenario_docs.typed import TYPED, typed_module
from tests.serving import ROOT

PAGE = ROOT / "docs" / "scenarios.md"


def main() -> None:
    """Write all three files."""
    PAGE.write_text(scenarios_page(), "utf-8")
    SCHEMA.write_text(schema_text(), "utf-8")
    TYPED.write_text(typed_module(), "utf-8")
    print(*(f"{path.relative_to(ROOT)} is written" for path in (PAGE, SCHEMA, TYPED)), sep="\n")


if __name__ == "__main__":
    main()
