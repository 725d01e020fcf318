"""The README and its Chinese form say the same, and show what the fake really makes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from PIL import Image, ImageChops

from fake_server.cli import cli
from tests.docs.blocks import blocks
from tests.serving import ROOT, running_server

pytestmark = pytest.mark.server

ENGLISH = (ROOT / "README.md").read_text("utf-8")
CHINESE = (ROOT / "README.zh-CN.md").read_text("utf-8")
_COMMENT = re.compile(r" *#.*$", re.MULTILINE)


def test_both_have_the_same_code() -> None:
    def code(text: str) -> list[tuple[str, str, str]]:
        return [
            (block.kind, block.language, _COMMENT.sub("", block.text)) for block in blocks(text)
        ]

    assert code(CHINESE) == code(ENGLISH)


def test_both_have_the_same_headings_and_links() -> None:
    def levels(text: str) -> list[str]:
        without_code = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
        return re.findall(r"^(#+) ", without_code, re.MULTILINE)

    def targets(text: str) -> set[str]:
        own = {"README.md", "README.zh-CN.md", "docs/quick-start.md"}
        found = set(re.findall(r"\]\(([^)]+)\)", text)) - own
        return {target for target in found if not target.startswith("docs/zh/")}

    assert levels(CHINESE) == levels(ENGLISH)
    assert targets(CHINESE) == targets(ENGLISH)


def test_the_image_is_what_the_command_makes_with_a_seed(tmp_path: Path) -> None:
    """The README's request, of a server with ``--seed 7``."""
    made = tmp_path / "man.png"
    with running_server("--seed", "7", "--speed", "instant") as server:
        arguments = ["request", "一个胸有成竹的男人", "-o", str(made), "--base-url", server.url]
        cli.main(arguments, standalone_mode=False)
    with Image.open(ROOT / "docs" / "images" / "quick-start.png") as shown, Image.open(made) as now:
        assert ImageChops.difference(shown.convert("RGB"), now.convert("RGB")).getbbox() is None
