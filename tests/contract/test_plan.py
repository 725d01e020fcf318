"""What a run will cost is known beforehand, and is never more."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from contract.check import Capability, Check, Evidence
from contract.checks import CHECKS
from contract.client import HttpTransport
from contract.runner import UnknownCheckError, cost, renamed_checks, run_check, run_checks, select
from contract.target import Capabilities, Target
from dify_wire.exchange import Exchange, Request
from tests.contract import samples
from tests.contract.verdicts import APP_KEYS, SECRET, every_capability
from tests.serving import RunningServer, running_server

pytestmark = pytest.mark.server

KEY = "app-SampleKey0123456789abcde"
BUDGETED = replace(every_capability(KEY), free_runs=False)


@pytest.fixture(scope="module")
def fake() -> Iterator[RunningServer]:
    apps = [f"--app={key}={kind}" for kind, key in APP_KEYS.items()]
    with running_server("--speed=instant", f"--secret-key={SECRET}", *apps) as server:
        yield server


def test_no_check_alone_costs_more_than_planned(fake: RunningServer) -> None:
    transport = HttpTransport(fake.url)
    capabilities = replace(BUDGETED, api_key=fake.api_key)
    beyond = {}
    for check in CHECKS.values():
        if not check.slow:
            target = Target(transport, capabilities)
            run_check(check, target)
            if target.accepted_runs > cost([check], capabilities):
                beyond[check.name] = target.accepted_runs
    transport.close()
    assert beyond == {}


@pytest.mark.parametrize("limit", [0, 1, 3])
def test_budget_is_kept_to(limit: int, fake: RunningServer) -> None:
    transport = HttpTransport(fake.url)
    target = Target(transport, replace(BUDGETED, api_key=fake.api_key, max_runs=limit))
    run_checks(target, [check for check in CHECKS.values() if not check.slow])
    transport.close()
    assert target.accepted_runs <= limit


def test_everything_costs_six_pictures_and_less_without_all_models() -> None:
    assert cost(CHECKS.values(), BUDGETED) == 6
    assert cost(CHECKS.values(), Capabilities(KEY)) == 4
    assert cost(CHECKS.values(), Capabilities(KEY, max_runs=2)) == 2


def test_shared_run_is_counted_once_and_only_where_it_is_made() -> None:
    plain = samples.check(samples.answer_is_200)
    shared = replace(plain, uses=(Evidence.SHARED_RUNS,))
    both = replace(plain, uses=(Evidence.SHARED_RUNS, Evidence.STOPPED_RUN))
    all_models = replace(plain, uses=(Evidence.FIFTH_MODEL,), needs=(Capability.ALL_MODELS,))
    assert [cost([one], Capabilities(KEY)) for one in (plain, shared, both, all_models)] == [
        0,
        2,
        3,
        0,
    ]
    assert cost([shared, both, shared], Capabilities(KEY)) == 3
    assert cost([all_models], Capabilities(KEY, all_models=True)) == 1


def names(checks: list[Check]) -> list[str]:
    return [check.name for check in checks]


def test_names_and_globs_select() -> None:
    ends = samples.EVERY_END
    assert names(select(ends)) == list(ends)
    assert names(select(ends, ["answer_*"])) == ["answer_is_200", "answer_is_json"]
    assert names(select(ends, ["answer_*", "check_crashes"], ["*_json"])) == [
        "answer_is_200",
        "check_crashes",
    ]


def test_old_name_selects_the_renamed_check() -> None:
    renamed = {old: new for old, new in renamed_checks().items() if new}
    assert set(renamed.values()) <= CHECKS.keys()
    assert not CHECKS.keys() & renamed.keys()
    for old, new in renamed.items():
        assert names(select(CHECKS, [old])) == [new]
        assert new not in names(select(CHECKS, skip=[old]))


def test_removed_check_can_be_skipped_but_not_run() -> None:
    removed = [old for old, new in renamed_checks().items() if not new]
    assert removed
    assert len(select(CHECKS, skip=removed)) == len(CHECKS)
    with pytest.raises(UnknownCheckError, match="removed"):
        select(CHECKS, removed)


@pytest.mark.parametrize(
    ("pattern", "hint"),
    [("answer_is_20", "did you mean 'answer_is_200'"), ("zzz*", "`contract list`")],
)
def test_unknown_name_is_refused(pattern: str, hint: str) -> None:
    with pytest.raises(UnknownCheckError, match=hint):
        select(samples.EVERY_END, [pattern])


@pytest.mark.parametrize(
    ("status", "counts"),
    [(200, 1), (201, 1), (299, 1), (400, 0), (404, 0), (429, 0), (500, 0), (502, 0), (503, 0)],
)
def test_only_an_accepted_run_counts(status: int, counts: int) -> None:
    """A lenient host need not answer 200 to have run; what it refused or failed over cost
    nothing.
    """
    target = Target(_Answering(status), Capabilities("k"))
    target.send(target.run_request())
    assert (target.accepted_runs, target.runs_without_response) == (counts, 0)


@pytest.mark.parametrize("status", [None, 504])
def test_run_without_a_response_is_counted_apart(status: int | None) -> None:
    """Nobody knows what it cost: neither the host nor a proxy before it says so."""
    target = Target(_Answering(status), Capabilities("k"))
    target.send(target.run_request())
    target.send(target.get_request("/v1/info"))
    assert (target.accepted_runs, target.runs_without_response) == (0, 1)


class _Answering:
    """A host that answers everything with one status."""

    def __init__(self, status: int | None) -> None:
        self._status = status

    def send(self, request: Request, on_chunk: Callable[[bytes], None] | None = None) -> Exchange:
        return Exchange(request, self._status)
