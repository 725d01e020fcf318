"""The JSON of later streams is orjson's: compact, unescaped, and with numbers of another form."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from fake_server.runs.render import compact, spaced
from tests.each import each

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=5), VALUES))
def test_compact_json_says_the_same(message: dict[str, Any]) -> None:
    """Every value comes back, on one line."""
    for write in (compact, spaced):
        text = write(message)
        assert b"\n" not in text
        assert json.loads(text) == json.loads(json.dumps(message))


@each(
    ("value", "text"),
    [
        (0.00007, "0.00007"),  # [C of 1.14.2: answertext_stream]
        (0.000123, "0.000123"),
        (-0.00001, "-0.00001"),
        (1e-6, "1e-6"),
        (-1.25e-9, "-1.25e-9"),
        (1e16, "1e16"),
        (1.5e300, "1.5e300"),
        (1e15, "1000000000000000.0"),
        ("a number in a text: 1e-05", '"a number in a text: 1e-05"'),
        ('"1e-05', r'"\"1e-05"'),
        ("猫 / \\u732b", r'"猫 / \\u732b"'),
        ({"1e-05": [1e-05]}, '{"1e-05":[0.00001]}'),
    ],
)
def test_values_are_written_as_orjson_does(value: Any, text: str) -> None:
    assert compact({"v": value}).decode() == f'{{"v":{text}}}'


def test_a_lone_surrogate_is_no_error() -> None:
    assert compact({"v": "a\ud83d"}) == b'{"v":"a?"}'
