"""Templates of an export: what ordinary ones give, and that hostile ones end soon and small."""

from __future__ import annotations

import resource
import time
from typing import Any

import pytest

from fake_server.workflow.expressions import MAX_RUN_STEPS, RunSteps
from fake_server.workflow.jinja import MAX_TEXT, TemplateError, render
from tests.each import each

VALUES: dict[str, Any] = {
    "prompt": "cat",
    "item": {"data": []},
    "rows": [{"a": 1}, {"a": "x"}],
    "n": 3,
    "nothing": None,
    "d": {"b": 1, "a": 2},
    "long": "a" * 200_000,
}

ORDINARY = [
    ("hello {{ prompt }}", "hello cat"),
    ("item {{ item }}", "item {'data': []}"),
    (
        "{% for r in rows %}{{ loop.index }}/{{ loop.length }} {{ r.a }};{% endfor %}",
        "1/2 1;2/2 x;",
    ),
    ("{{ rows|map(attribute='a')|join(', ') }}", "1, x"),
    ("{{ d|tojson(indent=2) }}", '{\n  "a": 2,\n  "b": 1\n}'),
    ("{{ 'a\\nb'|indent(4) }}", "a\n    b"),
    ("{{ rows|tojson }}", '[{"a": 1}, {"a": "x"}]'),
    ("{{ '%05.2f'|format(3.14159) }} {{ 'a,b'.split(',')[1] }}", "03.14 b"),
    ("{{ n + 1 }} {{ n ~ 'x' }} {{ n * 2 }} {{ 2 ** 10 }}", "4 3x 6 1024"),
    ("{{ nothing }} {{ absent }}|{{ absent|default('d') }}", "None |d"),
    (
        "{% set x = namespace(t=0) %}{% for i in [1, 2] %}{% set x.t = i %}{% endfor %}{{ x.t }}",
        "2",
    ),
    (
        "{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}{{ d|dictsort }}",
        "b=1;a=2;[('a', 2), ('b', 1)]",
    ),
    ("{% macro m(x) %}<{{ x }}>{% endmacro %}{{ m(prompt) }}{{ m(n) }}", "<cat><3>"),
    ("{% if prompt is string and 'a' in prompt %}yes{% endif %}", "yes"),
    ("{{ prompt[1:] }}{{ rows[0].a }}{{ [1, 2][1] }}{{ (1, 2) }}", "at12(1, 2)"),
    ("a\n{% if n %}b{% endif %}\n", "a\nb"),
    ("{{ 1700000000000 // 1000 }}", "1700000000"),
]


@each(("template", "text"), ORDINARY)
def test_an_ordinary_template_is_rendered_as_jinja2_does(template: str, text: str) -> None:
    assert render(template, VALUES) == text


_SIXTY = "{% set ns = namespace(s='a') %}{% for i in range(60) %}{% set ns.s = "
"""Makes a value out of the last one sixty times."""

HOSTILE = {
    "a range": "{% for a in range(10 ** 9) %}x{% endfor %}",
    "loops inside of loops": (
        "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
    ),
    "a repeated text": "{{ 'a' * 10 ** 9 }}",
    "a repeated list": "{{ [1] * 10 ** 9 }}",
    "a power": "{{ 2 ** 100000 }}",
    "a filter that widens": "{{ 'x'|center(10 ** 9) }}",
    "a method that widens": "{{ 'x'.zfill(999999999) }}",
    "a width": "{{ '%1000000000d' % 1 }}",
    "a width that is a value": "{{ '%*d' % (10 ** 9, 1) }}",
    "a width of format": "{{ '{:>1000000000}'.format(1) }}",
    "a width inside of a width": "{{ '{:{w}}'.format(1, w=10 ** 9) }}",
    "doubling by ~": _SIXTY + "ns.s ~ ns.s %}{% endfor %}",
    "doubling by +": _SIXTY + "ns.s + ns.s %}{% endfor %}",
    "doubling by a block": (
        "{% set ns = namespace(s='a') %}{% for i in range(60) %}"
        "{% set ns.s %}{{ ns.s }}{{ ns.s }}{% endset %}{% endfor %}"
    ),
    "doubling by lists": _SIXTY + "[ns.s, ns.s] %}{% endfor %}{{ ns.s }}",
    "doubling by mappings": _SIXTY + "dict(a=ns.s, b=ns.s) %}{% endfor %}{{ ns.s }}",
    "a macro that calls itself": (
        "{% macro f(n) %}{{ f(n + 1) }}{{ f(n + 1) }}{% endmacro %}{{ f(0) }}"
    ),
    "a tree of macros": (
        "{% macro f(n) %}{% if n < 40 %}{{ f(n + 1) }}{{ f(n + 1) }}{% endif %}"
        "{% endmacro %}{{ f(0) }}"
    ),
    "a tree of loops": (
        "{% for x in [1] recursive %}{% if loop.depth < 40 %}"
        "{{ loop([1]) }}{{ loop([1]) }}{% endif %}{% endfor %}"
    ),
    "a replacement": "{{ long.replace('a', long) }}",
    "a replacement by a filter": "{{ long|replace('a', long) }}",
    "a separator": "{{ ([1] * 100000)|join(long) }}",
    "a format of a long text": "{{ ('%(a)s' * 60000) % {'a': long} }}",
    "an indent of many lines": "{{ ('a\\n' * 100000)|indent(10000) }}",
    "tabs": "{{ ('\\t' * 100000).expandtabs(10000)|length }}",
    "an indent of JSON": "{{ range(99999)|list|tojson(indent=99999) }}",
    "JSON of many levels": (
        "{% set ns = namespace(x=range(2000)|list) %}{% for i in range(50) %}"
        "{% set ns.x = [ns.x] %}{% endfor %}{{ ns.x|tojson(indent=100) }}"
    ),
    "a long text in a loop": (
        "{% for i in range(100000) %}{{ long|upper|lower|length }}{% endfor %}"
    ),
    "a sum of lists": (
        "{% set l = [[1] * 600] * 600 %}{% for i in range(1000) %}"
        "{{ l|sum(start=[])|length }}{% endfor %}"
    ),
    "much static text": "{% for i in range(400000) %}" + "y" * 300_000 + "{% endfor %}",
    "a block of much static text": "{% set x %}{% for i in range(400000) %}"
    + "y" * 300_000
    + "{% endfor %}{% endset %}",
    "a comparison in a loop": (
        "{% for i in range(90000) %}{% if long == long ~ '' %}{% endif %}{% endfor %}"
    ),
    "brackets": "{{ " + "(" * 3000 + "1" + ")" * 3000 + " }}",
    "blocks": "".join(f"{{% for a{n} in [1, 2] %}}" for n in range(40)) + "{% endfor %}" * 40,
    "a chain of generators": (
        "{% set ns = namespace(g=[1]) %}{% for i in range(5000) %}"
        "{% set ns.g = ns.g|map('string') %}{% endfor %}{{ ns.g|list }}"
    ),
    "a namespace in itself": "{% set ns = namespace() %}{% set ns.x = ns %}{{ ns }}",
    "too long a template": "x" * (MAX_TEXT + 1),
    "a class": "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "a module": "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
    "a module by a format": "{{ '{0.__init__.__globals__}'.format(cycler) }}",
    "a left-out function": "{{ lipsum.__globals__ }}",
    "a file": "{% include '/etc/passwd' %}",
    "an import": "{% import 'os' as os %}",
    "no template": "{% if %}",
    "a division by zero": "{{ 1 / 0 }}",
}


@each("template", HOSTILE.values(), ids=list(HOSTILE))
def test_a_hostile_template_is_an_error_soon_and_in_little_space(template: str) -> None:
    started, peak_kb = time.process_time(), _peak_kb()
    with pytest.raises(TemplateError) as caught:
        render(template, VALUES)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 200
    assert time.process_time() - started < 5
    assert _peak_kb() - peak_kb < 500_000


def _peak_kb() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def test_a_template_gives_the_same_text_each_time() -> None:
    """What draws at random is left out."""
    with pytest.raises(TemplateError, match="random"):
        render("{{ [1, 2, 3]|random }}", {})


def test_nothing_of_one_rendering_is_left_for_the_next() -> None:
    """The bounds belong to one rendering."""
    for _ in range(20):
        assert render("{% for i in range(1000) %}{{ i }}{% endfor %}", {}).endswith("999")


def test_the_templates_of_a_run_share_a_bound() -> None:
    """A graph can have thousands of templates, each of them within its own."""
    run, text = RunSteps(), "{% for i in range(9000) %}{% endfor %}"
    for _ in range(5):
        render(text, {}, run)
    run.left = min(run.left, MAX_RUN_STEPS // 100)
    with pytest.raises(TemplateError):
        render(text, {}, run)
    assert render("short", {}) == "short"
