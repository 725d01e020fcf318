"""The counters as Prometheus reads them."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    InfoMetricFamily,
    Metric,
    SummaryMetricFamily,
)
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import Response

from fake_server.admin.call import Admin
from fake_server.admin.state import project_version
from fake_server.endpoints import Host


async def metrics(admin: Admin, request: Request) -> Response:
    """All metrics in Prometheus' text format."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_HostCollector(admin.host))
    return Response(generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})


class _HostCollector(Collector):
    """Makes metrics of what ``host`` has counted; nothing is counted twice."""

    def __init__(self, host: Host) -> None:
        self._host = host

    def collect(self) -> Iterator[Metric]:
        counters, store, journal = self._host.counters, self._host.store, self._host.journal
        build = {"version": project_version(), "host_version": self._host.settings.host_version}
        yield InfoMetricFamily("fake_dify_build", "What is running.", build)
        requests = _counter("requests", "Requests answered.", "operation", "status")
        seconds = SummaryMetricFamily(
            "fake_dify_request_seconds", "Real time of requests.", labels=["operation"]
        )
        counts: dict[str, int] = {}
        for (operation, status), count in sorted(counters.requests.items()):
            requests.add_metric([operation, str(status)], count)
            counts[operation] = counts.get(operation, 0) + count
        for operation, count in counts.items():
            seconds.add_metric([operation], count, counters.seconds[operation])
        runs = _counter("runs", "Runs that ended.", "mode", "status")
        for labels, count in sorted(store.runs_ended.items()):
            runs.add_metric(labels, count)
        matched = _counter("scenarios_matched", "Requests that a scenario acted on.", "name")
        for name, count in sorted(counters.scenarios.items()):
            matched.add_metric([name], count)
        lost = _counter("log_lines_lost", "Lines of the log that were not read in time.")
        lost.add_metric([], counters.log_lines_lost())
        yield from (requests, seconds, runs, matched, lost)
        for name, text, value in (
            ("runs_running", "Runs in progress.", store.runs_running),
            ("streams_open", "Streams that are being sent.", counters.streams_open),
            ("requests_running", "Requests in progress.", counters.running),
            ("journal_entries", "Entries of the journal.", len(journal)),
            ("journal_bytes", "Size of these entries, roughly.", journal.bytes),
        ):
            yield GaugeMetricFamily(f"fake_dify_{name}", text, value)


def _counter(name: str, text: str, *labels: str) -> CounterMetricFamily:
    return CounterMetricFamily(f"fake_dify_{name}", text, labels=labels)
