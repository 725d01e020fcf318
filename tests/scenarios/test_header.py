"""The grammar of X-Fake-Scenario."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fake_server.scenarios.behaviours import BEHAVIOURS
from fake_server.scenarios.parameters import ScenarioError
from fake_server.scenarios.rules import read_header
from tests.each import each
from tests.scenarios.books import RUN, book


@each(
    ("header", "rules"),
    [
        ("slow", [{"name": "slow"}]),
        ("  slow  ", [{"name": "slow"}]),
        ("slow;seconds=3", [{"name": "slow", "with": {"seconds": 3.0}}]),
        (
            "slow ; seconds = 3 ; node = llm",
            [{"name": "slow", "with": {"seconds": 3.0, "node": "llm"}}],
        ),
        ("slow, no_ping", [{"name": "slow"}, {"name": "no_ping"}]),
        (
            "slow; seconds=3,no_ping",
            [{"name": "slow", "with": {"seconds": 3.0}}, {"name": "no_ping"}],
        ),
        (
            "cut_stream; mid_frame=true; at_byte=7",
            [{"name": "cut_stream", "with": {"mid_frame": True, "at_byte": 7}}],
        ),
        ('run_failed; error="a, b; c=d"', [{"name": "run_failed", "with": {"error": "a, b; c=d"}}]),
        (
            r'run_failed; error="say \"no\" \\ \n"',
            [{"name": "run_failed", "with": {"error": 'say "no" \\ n'}}],
        ),
        ("run_failed; error=磁盘 已满", [{"name": "run_failed", "with": {"error": "磁盘 已满"}}]),
        ('run_failed; error=""', [{"name": "run_failed", "with": {"error": ""}}]),
        ("run_failed; error=", [{"name": "run_failed", "with": {"error": ""}}]),
        ('"slow"; "seconds"="3"', [{"name": "slow", "with": {"seconds": 3.0}}]),
        ("http_error; times=2", [{"name": "http_error", "times": 2}]),
        ("slow; call=2", [{"name": "slow", "when": {"call": 2}}]),
        (
            "slow; probability=0.5; seed=7",
            [{"name": "slow", "when": {"probability": 0.5, "seed": 7}}],
        ),
    ],
)
def test_a_header_gives_the_rules_of_a_file(header: str, rules: list[dict[str, object]]) -> None:
    assert read_header(header.encode()) == rules


@each(
    ("header", "message"),
    [
        ("", "the name of a scenario is missing at character 1 of ''"),
        ("   ", "the name of a scenario is missing at character 4 of '   '"),
        ("slow,", "the name of a scenario is missing at character 6 of 'slow,'"),
        (",slow", "the name of a scenario is missing at character 1"),
        ("slow,,no_ping", "the name of a scenario is missing at character 6"),
        ("slo", "'slo' is not a known scenario (did you mean 'slow'?); known: slow, "),
        ("slow;", "a parameter is written key=value; there is no = at character 6 of 'slow;'"),
        ("slow; seconds", "a parameter is written key=value; there is no = at character 14"),
        (
            "slow; second=3",
            "'second' is not a known parameter of slow (did you mean 'seconds'?); known: node",
        ),
        ("slow; seconds=x", "seconds: expected a number from 0 to 1000000000, not 'x'"),
        ("slow; seconds=3; seconds=4", "slow: seconds is given twice; give it once"),
        ("slow; times=1; times=2", "slow: times is given twice; give it once"),
        ("slow; seconds=3=4", "a comma, a semicolon or the end is expected at character 16"),
        ('slow "x"', "a comma, a semicolon or the end is expected at character 6"),
        ('run_failed; error="half', "a comma, a semicolon or the end is expected at character 19"),
        ("cut_stream; mid_frame=yes", "mid_frame: expected true or false, not 'yes'"),
        ("http_error; status=99", "status: expected a whole number from 200 to 599, not 99"),
        ("slow; times=0", "times: expected a whole number of at least 1, not 0"),
        ("slow; user=x", "'user' is not a known parameter of slow; known: node, seconds"),
        ("slow" * 501, "the header is longer than 2000 characters"),
    ],
)
def test_a_wrong_header_is_an_error_with_its_correction(header: str, message: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        read_header(header.encode())
    found = str(caught.value)
    assert message in found
    assert "\n" not in found


@pytest.mark.parametrize(
    "header", ["slow; node=nobody", "http_error, rate_limited", "absolute_url; base=x"]
)
def test_what_only_the_book_can_know_is_an_error_there(header: str) -> None:
    with pytest.raises(ScenarioError):
        book().match(RUN, header.encode())


def test_repeated_headers_are_one_list() -> None:
    """The host's proxy joins lines of one name with a comma, and so they mean the same as one
    line.
    """
    assert read_header(b"slow; seconds=3,no_ping") == read_header(b"slow; seconds=3") + read_header(
        b"no_ping"
    )


_words = st.sampled_from(
    [*BEHAVIOURS, "seconds", "node", "status", "times", "call", "seed", "error", "after"]
)
_junk = st.one_of(
    st.binary(max_size=60),
    st.lists(_words | st.sampled_from(list(',;="\\ \t')) | st.text(max_size=4), max_size=12).map(
        lambda parts: "".join(parts).encode("utf-8", "surrogatepass")
    ),
    st.text('slow;,="\\x 1é猫\0', max_size=30).map(str.encode),
)


@given(_junk)
def test_junk_is_read_or_an_error(header: bytes) -> None:
    """Whatever a client sends, it is a rule or an error."""
    with contextlib.suppress(ScenarioError):
        book().match(RUN, header)


_plain = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n\r"), max_size=60)


@given(_plain)
def test_any_text_can_be_quoted(text: str) -> None:
    quoted = text.replace("\\", "\\\\").replace('"', '\\"')
    [rule] = read_header(f'run_failed; error="{quoted}"'.encode())
    assert rule["with"] == {"error": text}
