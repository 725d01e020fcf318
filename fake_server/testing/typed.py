"""Types for tests; made by ``make docs`` of settings, behaviours and match fields."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any, Literal, TypedDict, Unpack, overload

from fake_server.testing.handles import Scenario


class Contains(TypedDict):
    """A string that contains another."""

    contains: str


class Matches(TypedDict):
    """A string that a regular expression is found in."""

    matches: str


Text = str | Contains | Matches


class HostOptions(TypedDict, total=False):
    """Settings of a host in a test."""

    speed: float | Literal["instant"] | None
    clock: str | date | None
    api_keys: str | Sequence[str]
    apps: Mapping[str, str | Path]
    secret_key: str
    admin_token: str | None
    admin_origins: str | Sequence[str]
    files_url: str
    spec: str | Path | None
    overlays: str | Path | Sequence[str | Path]
    workflow: str | Path | None
    host_version: str
    scenarios: str | Path | None
    replay: str | Path | None
    on_miss: str | None
    after_last: str | None
    upstream: str | None
    contract_report: str | Path | None
    store: str
    workers: int
    ssl_certfile: str | Path | None
    ssl_keyfile: str | Path | None
    app: str | Path | None
    api_key: str | Sequence[str]
    overlay: str | Path | Sequence[str | Path]
    admin_origin: str | Sequence[str]


class When(TypedDict, total=False):
    """Conditions of a scenario."""

    operation: str
    prompt: Text
    model: Text
    user: Text
    mode: Literal["blocking", "streaming"]
    header: Mapping[str, Text]
    call: int
    probability: float
    seed: int


class RequestMatch(TypedDict, total=False):
    """A description of requests."""

    method: str
    path: str
    operation: str
    user: str
    prompt: str
    model: str
    mode: str
    status: int
    header: Mapping[str, str | None]
    json: Any


class Requests(TypedDict, total=False):
    """The requests that a scenario acts on."""

    times: int | None
    when: When | None


class TypedScenarios:
    """The method ``scenario``, typed by scenario."""

    @overload
    def scenario(self, scenario: Literal["slow"], /, *, node: str = ..., seconds: float = ...,
                 real_seconds: float = ..., **on: Unpack[Requests]) -> Scenario: ...
    @overload
    def scenario(self, scenario: Literal["node_failed"], /, *, node: str = ..., error: str = ...,
                 **on: Unpack[Requests]) -> Scenario: ...
    @overload
    def scenario(self, scenario: Literal["tool_failed_silently"], /, *, text: str = ...,
                 **on: Unpack[Requests]) -> Scenario: ...
    @overload
    def scenario(self, scenario: Literal["run_failed"], /, *, error: str = ...,
                 **on: Unpack[Requests]) -> Scenario: ...
    @overload
    def scenario(self, scenario: Literal["stopped"], /, *, after_s: float = ...,
                 **on: Unpack[Requests]) -> Scenario: ...
    @overload
    def scenario(self, scenario: Literal["run_limit_600s", "no_terminal_event",
                 "double_terminal_event", "endless_stream", "no_ping", "null_url", "unsigned_url",
                 "missing_blob", "buffered_stream"], /, **on: Unpack[Requests]) -> Scenario: ...
    @overload
    def scenario(self, scenario: Literal["unknown_status"], /, *, status: str = ...,
                 **on: Unpack[Requests]) -> Scenario: ...
    @overload
    def scenario(self, scenario: Literal["http_error"], /, *, status: int = ...,
                 body: Literal["envelope", "html", "empty", "malformed"] = ..., code: str = ...,
                 message: str = ..., **on: Unpack[Requests]) -> Scenario: ...
    @overload
    def scenario(self, scenario: Literal["gateway_timeout"], /, *, after_s: float = ...,
                 status: Literal["504", "524"] = ..., **on: Unpack[Requests]) -> Scenario: ...
    @overload
    def scenario(self, scenario: Literal["rate_limited"], /, *, retry_after_s: int = ...,
                 form: Literal["host", "cloudflare"] = ..., **on: Unpack[Requests]) -> Scenario: ...
    @overload
    def scenario(self, scenario: Literal["concurrency_limit"], /, *, limit: int = ...,
                 **on: Unpack[Requests]) -> Scenario: ...
    @overload
    def scenario(self, scenario: Literal["reordered_events", "connection_reset"], /, *,
                 after: int = ..., **on: Unpack[Requests]) -> Scenario: ...
    @overload
    def scenario(self, scenario: Literal["unknown_event"], /, *, event: str = ..., after: int = ...,
                 **on: Unpack[Requests]) -> Scenario: ...
    @overload
    def scenario(self, scenario: Literal["error_event"], /, *, code: str = ..., message: str = ...,
                 status: int = ..., after: int = ..., **on: Unpack[Requests]) -> Scenario: ...
    @overload
    def scenario(self, scenario: Literal["ping_storm"], /, *, every_s: float = ...,
                 **on: Unpack[Requests]) -> Scenario: ...
    @overload
    def scenario(self, scenario: Literal["data_ping"], /, *, frame: str = ..., every_s: float = ...,
                 **on: Unpack[Requests]) -> Scenario: ...
    @overload
    def scenario(self, scenario: Literal["extra_fields"], /, *, name: str = ...,
                 **on: Unpack[Requests]) -> Scenario: ...
    @overload
    def scenario(self, scenario: Literal["absolute_url", "wrong_host"], /, *, base: str = ...,
                 **on: Unpack[Requests]) -> Scenario: ...
    @overload
    def scenario(self, scenario: Literal["expired_url"], /, *, age_s: float = ...,
                 **on: Unpack[Requests]) -> Scenario: ...
    @overload
    def scenario(self, scenario: Literal["corrupt_png"], /, *, how: Literal["truncated", "flipped",
                 "html"] = ..., **on: Unpack[Requests]) -> Scenario: ...
    @overload
    def scenario(self, scenario: Literal["huge_png"], /, *, side: int = ..., megabytes: int = ...,
                 **on: Unpack[Requests]) -> Scenario: ...
    @overload
    def scenario(self, scenario: Literal["coalesced_frames"], /, *, count: int = ...,
                 **on: Unpack[Requests]) -> Scenario: ...
    @overload
    def scenario(self, scenario: Literal["split_frames"], /, *, where: Literal["byte", "escape",
                 "utf8"] = ..., every: int = ..., pause_s: float = ...,
                 **on: Unpack[Requests]) -> Scenario: ...
    @overload
    def scenario(self, scenario: Literal["cut_stream"], /, *, after: int = ...,
                 mid_frame: bool = ..., at_byte: int = ..., **on: Unpack[Requests]) -> Scenario: ...
    @overload
    def scenario(self, scenario: Literal["slow_body"], /, *, bytes_per_second: int = ...,
                 **on: Unpack[Requests]) -> Scenario: ...
    @overload
    def scenario(self, scenario: Literal["malformed_event"], /, *, after: int = ...,
                 how: Literal["truncated", "not_json", "no_data", "invalid_utf8"] = ...,
                 **on: Unpack[Requests]) -> Scenario: ...
    @overload
    def scenario(self, scenario: Literal["upstream_down"], /, *, service: Literal["sd", "llm",
                 "redis", "postgres", "api"] = ..., **on: Unpack[Requests]) -> Scenario: ...
    @overload
    def scenario(self, scenario: Literal["sd_failed"], /, *, how: Literal["500", "404", "badjson",
                 "noimages", "emptyimages", "badbase64", "close", "timeout"] = ...,
                 **on: Unpack[Requests]) -> Scenario: ...
    @overload
    def scenario(self, scenario: Literal["sd_options_failed"], /, *, how: Literal["500",
                 "close"] = ..., **on: Unpack[Requests]) -> Scenario: ...
    @overload
    def scenario(self, scenario: Literal["llm_failed"], /, *, how: Literal["500", "close",
                 "empty"] = ..., **on: Unpack[Requests]) -> Scenario: ...
    @overload
    def scenario(self, scenario: Literal["remote_file_unreachable"], /, *, how: Literal["refused",
                 "unknown_host", "timeout", "absent"] = ...,
                 **on: Unpack[Requests]) -> Scenario: ...

    def scenario(self, name: str, /, *, times: int | None = None, when: When | None = None,
                 **with_: Any) -> Scenario:
        """Let the scenario ``name`` act on requests from now on, with its parameters.

        ``times`` is how many requests it acts on, ``when`` which ones. It stays until ``remove``,
        the end of a ``with`` block or a reset. Raises ``ScenarioError`` and changes nothing where
        it is invalid.
        """
        __tracebackhide__ = True
        return self._add_scenario(name, times, when, with_)

    def _add_scenario(self, name: str, times: int | None, when: When | None,
                      with_: dict[str, Any]) -> Scenario:
        raise NotImplementedError
