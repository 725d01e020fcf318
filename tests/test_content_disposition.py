"""Parameters of headers are read as Werkzeug reads them, which reads them on the host."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from werkzeug.http import parse_options_header

from dify_wire.content_disposition import parse_options

_NAMES = st.sampled_from(
    ["name", "NAME", "filename", "name*", "filename*", "name*0", "name*1", "name*0*", "name*1*", ""]
)
_VALUES = st.one_of(
    st.text(max_size=8).map(lambda text: f'"{text}"'),
    st.sampled_from(
        [
            "user",
            "utf-8''%E7%8C%AB",
            "UTF-8'en'a%22",
            "latin-9''%ff",
            "iso-8859-1''%ff",
            '"a\\"b"',
            '"a',
            "",
        ]
    ),
    st.text("abc'%*\"\\ ;=\t", max_size=8),
)
_PARAMETERS = st.tuples(_NAMES, _VALUES).map("=".join)
_HEADERS = st.tuples(
    st.sampled_from(["form-data", "", " Form-Data "]),
    st.lists(_PARAMETERS | st.text(";=\"\\'*ab \t", max_size=6), max_size=5).map("; ".join),
).map(";".join)


@given(_HEADERS | st.text())
@example('form-data; name=user; filename="a\\\\b.png"')
@example("form-data; name*0*=utf-8''%E7%8C; name*1*=%AB; name=x")
@example('form-data; name="a\\')
def test_parameters_are_read_as_werkzeug_reads_them(header: str) -> None:
    assume(
        "\\" not in re.sub(r'\\[\\"]', "", header)
    )  # before any other character it is dropped from 3.1.9 on
    assert parse_options(header) == parse_options_header(header)


def test_a_path_of_windows_stays_whole() -> None:
    assert parse_options(r'form-data; filename="C:\a\b.png"')[1] == {"filename": r"C:\a\b.png"}


@pytest.mark.parametrize(
    "unit", ['name="a', "name=a;", "a=", ";", '"', "\\", "name*0=a;", "a", "*1"]
)
def test_a_long_header_takes_linear_time(unit: str) -> None:
    began = time.process_time()
    parse_options("form-data; " + unit * (300_000 // len(unit)))
    assert time.process_time() - began < 2
