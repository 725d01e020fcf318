"""The generated pages say what the code says, and are whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from dify_wire.profile import profiles
from tests.pages.errors import undescribed
from tests.pages.made import MAKERS, made
from tests.pages.markdown import BEGIN, END, code, table, with_part
from tests.serving import ROOT

pytestmark = pytest.mark.server


@pytest.mark.parametrize("name", MAKERS)
def test_generated_files_are_up_to_date(name: str) -> None:
    for path, text in made(name).items():
        assert (ROOT / path).read_text("utf-8") == text, f"{path}: make docs writes it anew"


def test_every_page_that_says_it_is_generated_has_a_generator() -> None:
    made_by_something = {path for name in MAKERS for path in made(name)}
    marked = {
        str(page.relative_to(ROOT))
        for page in (ROOT / "docs").rglob("*.md")
        if BEGIN in page.read_text("utf-8").splitlines()
    }
    assert marked - made_by_something == set()


def test_every_error_says_when_it_comes() -> None:
    assert undescribed(name for one in profiles().values() for name in one.errors) == set()


def test_a_part_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    page.write_text(with_part(page, "new\n"))
    assert with_part(page, "new") == f"before\n{BEGIN}\n\nnew\n\n{END}\nafter\n"


def test_a_page_without_a_generated_part_is_an_error(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("by hand\n")
    with pytest.raises(AssertionError, match="needs one generated part"):
        with_part(page, "new")


def test_no_cell_breaks_its_table() -> None:
    assert table(["a"], [["x | y\nz"]]).splitlines()[-1] == r"| x \| y z |"
    assert code("a`b") == "`` a`b ``"
