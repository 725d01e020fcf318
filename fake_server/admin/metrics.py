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
from fake_server.admin.server import project_version
from fake_server.endpoints import Host

_PREFIX = "fake_dify"


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
        version = self._host.settings.host_version
        yield InfoMetricFamily(
            f"{_PREFIX}_build",
            "What is running.",
            {"version": project_version(), "host_version": version},
        )
        yield from self._requests()
        runs = CounterMetricFamily(f"{_PREFIX}_runs", "Runs that ended.", labels=["mode", "status"])
        for (mode, status), count in sorted(store.runs_ended.items()):
            runs.add_metric([mode, status], count)
        yield runs
        matched = CounterMetricFamily(
            f"{_PREFIX}_scenarios_matched", "Requests a scenario befell.", labels=["name"]
        )
        for name, count in sorted(counters.scenarios.items()):
            matched.add_metric([name], count)
        yield matched
        yield GaugeMetricFamily(
            f"{_PREFIX}_runs_running", "Runs that are being played.", store.runs_running
        )
        yield GaugeMetricFamily(
            f"{_PREFIX}_streams_open", "Streams that are being sent.", counters.streams_open
        )
        yield GaugeMetricFamily(
            f"{_PREFIX}_requests_running", "Requests on their way.", counters.running
        )
        lost = counters.log_lines_lost()
        yield CounterMetricFamily(
            f"{_PREFIX}_log_lines_lost", "Lines of the log that nobody read in time.", lost
        )
        yield GaugeMetricFamily(
            f"{_PREFIX}_journal_entries", "Entries of the journal.", len(journal)
        )
        yield GaugeMetricFamily(
            f"{_PREFIX}_journal_bytes", "What they hold, roughly.", journal.bytes
        )

    def _requests(self) -> Iterator[Metric]:
        counters = self._host.counters
        requests = CounterMetricFamily(
            f"{_PREFIX}_requests", "Requests answered.", labels=["operation", "status"]
        )
        counts: dict[str, int] = {}
        for (operation, status), count in sorted(counters.requests.items()):
            requests.add_metric([operation, str(status)], count)
            counts[operation] = counts.get(operation, 0) + count
        yield requests
        seconds = SummaryMetricFamily(
            f"{_PREFIX}_request_seconds", "Real time of requests.", labels=["operation"]
        )
        for operation, count in counts.items():
            seconds.add_metric([operation], count, counters.seconds[operation])
        yield seconds
