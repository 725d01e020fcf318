"""Which requests rules match, how often, in what order, and which rules are errors."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from fake_server.scenarios.behaviours import BEHAVIOURS
from fake_server.scenarios.conditions import RequestFacts
from fake_server.scenarios.parameters import ScenarioError
from tests.each import each
from tests.scenarios.books import RUN, book, error_of, names

IMAGE = RequestFacts("getToolFile", {})
STOP = RequestFacts("stopWorkflowTask", {})


def test_a_rule_acts_on_runs_and_nothing_else() -> None:
    rules = book({"name": "http_error"})
    assert [names(rules, facts) for facts in (RUN, IMAGE, STOP)] == [("http_error",), (), ()]


def test_a_rule_acts_on_the_operation_that_it_names() -> None:
    rules = book({"name": "http_error", "when": {"operation": "getToolFile"}})
    assert [names(rules, facts) for facts in (RUN, IMAGE, STOP)] == [(), ("http_error",), ()]


def test_a_header_acts_on_the_request_that_carries_it() -> None:
    """Whatever it asks for, if the behaviour can act there."""
    assert [names(book(), facts, "http_error") for facts in (RUN, IMAGE, STOP)] == [
        ("http_error",)
    ] * 3
    assert [names(book(), facts, "expired_url") for facts in (RUN, IMAGE, STOP)] == [
        ("expired_url",)
    ] * 2 + [()]
    assert [names(book(), facts, "slow") for facts in (RUN, IMAGE, STOP)] == [("slow",), (), ()]


def test_nothing_acts_without_rules() -> None:
    assert book().match(RUN, None) is None
    assert book().match(RUN, b"") is None


# How often
# ---


def test_the_first_two_and_then_no_more() -> None:
    rules = book({"name": "http_error", "times": 2})
    assert [names(rules) for _ in range(4)] == [("http_error",)] * 2 + [()] * 2


@pytest.mark.parametrize("times", [1 << 70, float("inf")])
def test_times_are_a_number_that_json_can_hold(times: float) -> None:
    assert book({"name": "http_error", "times": times}).to_json()[0]["times"] == 1 << 53


def test_the_third_and_only_the_third() -> None:
    rules = book({"name": "http_error", "when": {"call": 3}})
    assert [bool(names(rules)) for _ in range(5)] == [False, False, True, False, False]


def test_calls_are_counted_among_those_that_satisfy_the_rest() -> None:
    rules = book({"name": "http_error", "when": {"call": 2, "user": "alg123"}})
    other = RUN._replace(user="other")
    assert [bool(names(rules, facts)) for facts in (other, RUN, other, RUN, RUN)] == [
        False,
        False,
        False,
        True,
        False,
    ]


def test_rules_of_one_kind_follow_each_other() -> None:
    """A used-up rule makes room for the next: one error, then another, then a slow run, then
    peace.
    """
    rules = book(
        {"name": "http_error", "with": {"status": 500}, "times": 1},
        {"name": "rate_limited", "times": 2},
        {"name": "slow", "when": {"call": 4}},
    )
    found = [names(rules) for _ in range(5)]
    assert found == [("http_error",), ("rate_limited",), ("rate_limited",), ("slow",), ()]


def test_a_rule_that_had_to_stay_out_has_not_been_used_up() -> None:
    rules = book({"name": "http_error", "times": 1}, {"name": "rate_limited", "times": 1})
    assert [names(rules) for _ in range(3)] == [("http_error",), ("rate_limited",), ()]
    assert [rule["matched"] for rule in rules.to_json()] == [1, 1]


@given(seed=st.integers(), percent=st.integers(0, 100))
@settings(max_examples=8, deadline=None)
def test_a_probability_is_kept_and_reproducible(seed: int, percent: int) -> None:
    """With the same seed the same requests are chosen; over many, as many as it says."""
    rule = {"name": "http_error", "when": {"probability": percent / 100, "seed": seed}}
    one, other = book(rule), book(rule, seed=2)
    found = [bool(names(one)) for _ in range(1_000)]
    assert found == [bool(names(other)) for _ in range(1_000)]
    assert abs(sum(found) - 10 * percent) <= 80  # five standard deviations


def test_a_probability_without_a_seed_of_its_own_follows_the_server_s() -> None:
    rule = {"name": "http_error", "when": {"probability": 0.5}}
    found = [
        [bool(names(rules)) for _ in range(64)]
        for rules in (book(rule), book(rule), book(rule, seed=2))
    ]
    assert found[0] == found[1] != found[2]


def test_two_rules_of_one_probability_do_not_always_act_together() -> None:
    half = {"when": {"probability": 0.5, "seed": 1}}
    rules = book({"name": "slow", **half}, {"name": "no_ping", **half})
    assert {names(rules) for _ in range(64)} == {(), ("slow",), ("no_ping",), ("slow", "no_ping")}


# Together
# ---


def test_several_rules_act_on_a_request_together() -> None:
    rules = book({"name": "slow"}, {"name": "no_ping"}, added=[{"name": "null_url"}])
    assert names(rules, header="cut_stream") == ("cut_stream", "null_url", "slow", "no_ping")


def test_a_header_goes_before_added_rules_and_these_before_those_of_the_file() -> None:
    rules = book({"name": "http_error"})
    assert names(rules) == ("http_error",)
    rules.add({"name": "rate_limited"})
    assert names(rules) == ("rate_limited",)
    assert names(rules, header="upstream_down") == ("upstream_down",)


def test_a_parameter_can_tell_two_of_a_kind_apart() -> None:
    rules = book(
        {"name": "slow", "with": {"node": "llm"}}, {"name": "slow", "with": {"node": "tool"}}
    )
    assert names(rules) == ("slow", "slow")


def test_of_a_header_s_rules_each_is_counted_for_itself() -> None:
    rules = book()
    assert [names(rules, header="http_error; times=1") for _ in range(2)] == [("http_error",), ()]
    assert names(rules, header="http_error; times=1, slow") == ("http_error", "slow")
    assert [names(rules, header="slow; call=2") for _ in range(3)] == [(), ("slow",), ()]


def test_only_so_many_headers_are_remembered() -> None:
    rules = book()
    first = "http_error; times=1; message=0"
    assert names(rules, header=first)
    for number in range(1, 1_002):
        names(rules, header=f"http_error; times=1; message={number}")
    assert names(rules, header=first), "forgotten, and counted anew"


def contradiction(*rules: dict[str, object]) -> str:
    with pytest.raises(ScenarioError) as caught:
        book(*rules)
    return str(caught.value)


def test_rules_that_contradict_each_other_are_an_error_that_names_both() -> None:
    message = contradiction({"name": "slow"}, {"name": "http_error"}, {"name": "rate_limited"})
    assert message.startswith(
        "[2]: http_error (rule 2) and rate_limited (rule 3) contradict each other: "
    )


@pytest.mark.parametrize(
    ("when", "later"),
    [
        ({}, {}),
        ({}, {"mode": "streaming"}),
        ({}, {"call": 2}),
        ({"mode": "blocking"}, {"mode": "blocking", "probability": 0.5}),
        ({"user": {"matches": "a+"}}, {"user": {"matches": "a+"}}),
        ({"header": {"x-a": "1"}}, {"header": {"X-A": "1"}}),
    ],
)
def test_a_rule_after_one_that_always_acts_is_an_error(
    when: dict[str, object], later: dict[str, object]
) -> None:
    """Where the conditions are the same, or the first has none."""
    first: dict[str, object] = {"name": "http_error", "when": when}
    assert "contradict" in contradiction(first, {"name": "rate_limited", "when": later})


@pytest.mark.parametrize(
    ("when", "later"),
    [
        ({"mode": "blocking"}, {"mode": "streaming"}),
        ({"operation": "getToolFile"}, {}),
        ({"user": "a"}, {"user": "b"}),
        ({"call": 1}, {}),
        ({"probability": 0.5}, {}),
        ({"user": "a"}, {}),
        ({"mode": "streaming"}, {}),
    ],
)
def test_rules_for_different_requests_do_not_contradict_each_other(
    when: dict[str, object], later: dict[str, object]
) -> None:
    book({"name": "http_error", "when": when}, {"name": "rate_limited", "when": later})


def test_a_rule_for_one_user_goes_before_one_for_everybody() -> None:
    rules = book({"name": "http_error", "when": {"user": "alg123"}}, {"name": "rate_limited"})
    others = RUN._replace(user="b")
    assert (names(rules), names(rules, others)) == (("http_error",), ("rate_limited",))


def test_an_added_rule_that_contradicts_an_earlier_one_is_named_by_its_place() -> None:
    rules = book(added=[{"name": "no_ping"}, {"name": "http_error"}])
    rules.remove("1")
    alone = r"^http_error \(rule 2\) and rate_limited \(rule 3\) contradict"
    with pytest.raises(ScenarioError, match=alone):
        rules.add({"name": "rate_limited"})
    listed = r"^\[1\]: http_error \(rule 2\) and rate_limited \(rule 4\) contradict"
    with pytest.raises(ScenarioError, match=listed):
        rules.add([{"name": "slow"}, {"name": "rate_limited"}])
    rules.add({"name": "slow"})  # which would contradict itself, had any of the list been added


def test_many_rules_are_added_at_once_and_one_by_one() -> None:
    before = time.thread_time()
    rules = book(added=[{"name": "slow", "times": 1}] * 1_000)
    for number in range(10):
        rules.add({"name": "slow", "times": 1, "when": {"user": f"{number}"}})
    assert time.thread_time() - before < 2, "comparing each with each would take minutes"


def test_added_rules_contradict_each_other_too_but_not_those_of_the_file() -> None:
    rules = book({"name": "http_error"}, added=[{"name": "rate_limited"}])
    with pytest.raises(ScenarioError, match=r"rate_limited .* and upstream_down .* contradict"):
        rules.add({"name": "upstream_down"})
    with pytest.raises(ScenarioError, match=r"http_error .* and rate_limited .* contradict"):
        rules.match(RUN, b"http_error, rate_limited")


# Adding, removing, resetting
# ---


def test_rules_are_added_all_or_none() -> None:
    rules = book()
    with pytest.raises(ScenarioError) as caught:
        rules.add([{"name": "slow"}, {"name": "slw"}])
    assert caught.value.path == "[1].name"
    assert (rules.to_json(), rules.empty) == ([], True)
    assert [rule.rule_id for rule in rules.add([{"name": "slow"}, {"name": "no_ping"}])] == [
        "1",
        "2",
    ]


def test_added_rules_can_be_removed_and_those_of_the_file_cannot() -> None:
    rules = book({"name": "slow"}, added=[{"name": "no_ping"}, {"name": "null_url"}])
    assert [rule["id"] for rule in rules.to_json()] == ["2", "3", "1"]
    assert [rules.remove(rule_id) for rule_id in ("2", "2", "1", "none")] == [
        True,
        False,
        False,
        False,
    ]
    assert names(rules) == ("null_url", "slow")
    rules.clear()
    assert names(rules) == ("slow",)
    assert not rules.empty


def test_a_book_without_rules_is_empty() -> None:
    rules = book(added=[{"name": "slow"}])
    assert not rules.empty
    assert rules.remove("1")
    assert rules.empty


def test_the_json_of_a_rule() -> None:
    rule = {"name": "slow", "with": {"seconds": 3}, "when": {"user": {"contains": "a"}}, "times": 2}
    rules = book(rule)
    names(rules)
    assert rules.to_json() == [{"id": "1", **rule, "source": "file", "matched": 1}]


def test_a_reset_book_is_as_at_the_start() -> None:
    """Nothing added, nothing counted, and chance takes the same way again."""
    chance = {"name": "no_ping", "when": {"probability": 0.5}}
    rules = book({"name": "http_error", "times": 1}, {"name": "slow", "when": {"call": 2}}, chance)

    def first_requests() -> list[tuple[str, ...]]:
        added = rules.add({"name": "null_url", "when": {"probability": 0.5}})
        return [
            (added[0].rule_id, *names(rules, header="extra_fields; times=3")) for _ in range(32)
        ]

    first = first_requests()
    rules.reset(1)
    assert [rule["matched"] for rule in rules.to_json()] == [0, 0, 0]
    assert first_requests() == first
    rules.reset(2)
    assert first_requests() != first


# Errors
# ---


@each(
    ("rule", "message"),
    [
        (5, "expected a mapping of names to values, not 5"),
        (None, "expected a mapping of names to values, not null"),
        (["slow"], "[0]: expected a mapping of names to values, not 'slow'"),
        ({}, "name: this key is missing; add it"),
        ({"name": 5}, "name: expected a string, not 5"),
        (
            {"name": "slo"},
            "name: 'slo' is not a known scenario (did you mean 'slow'?); known: slow, ",
        ),
        (
            [{"name": "slow"}, {"name": "no_pin"}],
            "[1].name: 'no_pin' is not a known scenario (did you mean 'no_ping'?)",
        ),
        (
            {"name": "slow", "wiht": {}},
            "wiht: 'wiht' is not a known key (did you mean 'with'?); known: name, with",
        ),
        ({"name": "slow", "with": []}, "with: expected a mapping of names to values, not a list"),
        (
            {"name": "slow", "with": {"second": 1}},
            "with.second: 'second' is not a known parameter of slow (did you mean 'seconds'?)",
        ),
        (
            {"name": "null_url", "with": {"x": 1}},
            "with.x: 'x' is not a known parameter of null_url; none is allowed here",
        ),
        (
            {"name": "slow", "with": {"node": "tol"}},
            "with.node: 'tol' is not a known node (id, title or type) (did you mean 'tool'?)",
        ),
        (
            {"name": "absolute_url", "with": {"base": "x"}},
            "with.base: 'x' is not a valid base address: http(s)://host, without a slash at",
        ),
        (
            {"name": "huge_png", "with": {"side": 50_000}},
            "with.side: expected a whole number from 1 to 30000, not 50000",
        ),
        ({"name": "slow", "when": "x"}, "when: expected a mapping of names to values, not 'x'"),
        ({"name": "slow", "times": 0}, "times: expected a whole number of at least 1, not 0"),
        ({"name": "slow", "times": "2"}, "times: expected a whole number of at least 1, not '2'"),
        (
            {"name": "slow", "when": {"operation": "getToolFile"}},
            "when.operation: slow cannot act on getToolFile; it acts on: runWorkflow",
        ),
    ],
)
def test_a_wrong_rule_is_an_error_with_its_correction(rule: object, message: str) -> None:
    assert error_of(rule).startswith(message)


@each("name", list(BEHAVIOURS))
def test_every_behaviour_works_bare(name: str) -> None:
    assert names(book({"name": name})) == (name,)
    assert names(book(), header=name) == (name,)


# Many rules
# ---

CONDITIONS = st.sampled_from(["cat", "dog", {"contains": "c"}, {"matches": "g$"}])
RULES = st.lists(
    st.fixed_dictionaries(
        {"name": st.sampled_from(["slow", "http_error", "no_ping", "unsigned_url"])},
        optional={
            "when": st.dictionaries(st.sampled_from(["prompt", "model", "user"]), CONDITIONS),
            "times": st.integers(1, 2),
        },
    ),
    max_size=8,
)
FACTS = st.builds(
    RequestFacts,
    st.just("runWorkflow"),
    st.just({}),
    *[st.sampled_from(["cat", "dog", "", "magic"])] * 3,
)


@given(RULES, st.lists(FACTS, max_size=4))
def test_rules_that_are_found_by_a_text_act_as_if_all_were_tried(
    rules: list[dict[str, Any]], requests: list[RequestFacts]
) -> None:
    """Each alone in a book of its own says whether it acts; of one behaviour, the first does."""
    try:
        together = book(*rules)
    except ScenarioError:
        assume(False)
    alone = [(rule["name"], book(rule)) for rule in rules]
    for facts in requests:
        expected: list[str] = []
        for name, one in alone:
            if name not in expected:
                expected += names(one, facts)
        assert names(together, facts) == tuple(expected)
