"""Every code block of README and docs is run or checked, as ``tests/docs/__init__.py`` says."""

from __future__ import annotations

import faulthandler
from pathlib import Path

import pytest

from tests.docs.blocks import Block, blocks, pages
from tests.docs.page_run import PageError, PageRun, matches
from tests.pages.markdown import BEGIN, END
from tests.serving import ROOT

pytestmark = pytest.mark.server

PAGES = [
    str(page.relative_to(ROOT))
    for page in pages(ROOT)
    if page.name != "README.zh-CN.md"  # it has the code of README.md: test_readme
]


@pytest.mark.parametrize("page", PAGES)
def test_blocks_of_a_page_do_what_it_says(page: str, tmp_path: Path) -> None:
    faulthandler.cancel_dump_traceback_later()  # a page may take long; each block has its own limit
    text = (ROOT / page).read_text("utf-8")
    with PageRun(tmp_path) as reader:
        for block in blocks(text):
            try:
                reader.do(block)
            except Exception as error:
                raise PageError(f"{page}, line {block.line}: {error}") from error


def test_a_comment_belongs_to_the_block_below_it() -> None:
    text = "<!-- run: exit 1 -->\n\n```sh\nfalse\n```\n<!-- run -->\ntext\n\n```text\nno\n```\n"
    assert list(blocks(text)) == [
        Block(3, "sh", "run", "exit 1", "false\n"),
        Block(9, "text", "", "", "no\n"),
    ]


def test_a_generated_block_needs_no_comment() -> None:
    part = f"{BEGIN}\n```text\n1\n```\n<!-- run -->\n```sh\n2\n```\n{END}\n```text\n3\n```\n"
    assert [block.text for block in blocks(part)] == ["2\n", "3\n"]


def test_a_block_in_a_list_loses_its_indentation() -> None:
    [block] = blocks("1. One\n\n   <!-- file: a/b.txt -->\n   ```text\n   x\n     y\n   ```\n")
    assert (block.kind, block.argument, block.text) == ("file", "a/b.txt", "x\n  y\n")


def test_a_longer_fence_holds_a_shorter_one() -> None:
    [block] = blocks("````md\n```sh\n````\n")
    assert block.text == "```sh\n"


def test_an_open_fence_is_an_error() -> None:
    with pytest.raises(ValueError, match="line 2"):
        list(blocks("text\n```sh\nls\n"))


@pytest.mark.parametrize(
    ("shown", "printed", "equal"),
    [
        ("a\n", "a", True),
        ("a … c", "a b\nb c\n", True),
        ("…", "", True),
        ("a", "a\nb", False),
        ("a.c", "abc", False),
    ],
)
def test_dots_stand_for_anything(shown: str, printed: str, equal: bool) -> None:
    assert matches(shown, printed) is equal


@pytest.mark.parametrize(
    ("block", "reason"),
    [
        (Block(1, "sh", "", "", "true"), "no comment"),
        (Block(1, "sh", "run", "", "exit 3"), "exit code 3, not 0"),
        (Block(1, "text", "run", "", ""), "cannot be run"),
        (Block(1, "text", "output", "", "something"), "what is printed"),
        (Block(1, "sh", "serve", "", "ls"), "not a command that serves"),
        (Block(1, "text", "file", "../x", ""), "outside"),
        (Block(1, "python", "pytest", "", "def test_no():\n    assert 0\n"), "1 failed"),
    ],
)
def test_a_block_that_does_not_do_what_it_says_fails(
    block: Block, reason: str, tmp_path: Path
) -> None:
    with PageRun(tmp_path) as reader, pytest.raises(PageError, match=reason):
        reader.do(block)


def test_a_server_serves_the_blocks_below_it(tmp_path: Path) -> None:
    page = """
<!-- serve -->
```sh
make run ARGS="--speed instant --api-key app-mine"
```
<!-- run -->
```sh
curl -s http://127.0.0.1:6060/v1/info -H 'Authorization: Bearer app-mine'
```
<!-- output -->
```json
{"name": …
```
"""
    with PageRun(tmp_path) as reader:
        for block in blocks(page):
            reader.do(block)
