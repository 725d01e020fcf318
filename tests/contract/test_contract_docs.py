"""docs/contract.md is whole: every option is in it. Its examples are run by tests/docs."""

from __future__ import annotations

import re

import click
import pytest

from contract.cli import run
from contract.cli.compare import diff, drift
from contract.cli.recordings import record
from tests.serving import ROOT

PAGE = (ROOT / "docs/contract.md").read_text()
OPTIONS = {
    parameter.opts[0]: parameter
    for command in (run, record, diff, drift)
    for parameter in command.params
    if isinstance(parameter, click.Option)
}


@pytest.mark.parametrize("option", OPTIONS.values(), ids=OPTIONS)
def test_every_option_is_documented(option: click.Option) -> None:
    assert re.search(rf"`{option.opts[0]}\b", PAGE)
