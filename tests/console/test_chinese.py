"""The Chinese sentences of behaviours: each behaviour and each parameter has one."""

from __future__ import annotations

import json
import re
import subprocess
from functools import cache
from typing import Any

import pytest

from fake_server.console import STATIC
from fake_server.scenarios.describe import to_json
from fake_server.scenarios.rules import behaviours
from tests.tools import needed

NAMES = sorted(behaviours())


@cache
def sentences() -> dict[str, Any]:
    script = (STATIC / "behaviours.zh.js").read_text("utf-8")
    command = [needed("node"), "--input-type=module", "--eval"]
    done = subprocess.run(
        [*command, f"{script}\nconsole.log(JSON.stringify(behaviours));"],
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_they_are_those_of_the_behaviours() -> None:
    assert sorted(sentences()) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_behaviour_and_each_parameter_has_a_chinese_sentence(name: str) -> None:
    described, found = to_json(behaviours()[name]), sentences()[name]
    assert found.keys() == {"headline", "survive", "with"}
    assert found["with"].keys() == described["with"].keys()
    for text in (found["headline"], found["survive"], *found["with"].values()):
        assert re.search("[\u4e00-\u9fff]{2}", text), text
        assert not re.search("[\u4e00-\u9fff][,;:?!]|[\u4e00-\u9fff]\\.$", text), text


@pytest.mark.parametrize("name", NAMES)
def test_a_headline_names_parameters_that_there_are(name: str) -> None:
    found = sentences()[name]
    assert set(re.findall("``(.+?)``", found["headline"])) <= {
        *found["with"],
        *("error", "text", "event"),  # of the host's responses
    }
