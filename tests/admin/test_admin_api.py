"""Every admin call: what it does, that its description has its answers, and what it refuses."""

from __future__ import annotations

import json
import re
from typing import Any
from unittest.mock import ANY

import pytest

from fake_server.admin import ROUTES
from fake_server.clock import Clock
from fake_server.settings import DEFAULT_API_KEY, Settings
from tests.admin.calling import LOCAL, admin, description, host, requests_of, run
from tests.asgi import call, run_body

AT = 1714564800.0  # 2024-05-01T12:00:00Z


def test_description_is_openapi_and_has_just_the_calls_that_there_are() -> None:
    from openapi_spec_validator import validate  # slow to import

    validate(description())
    described = {
        path: {method for method in item if method != "parameters"}
        for path, item in description()["paths"].items()
    }
    assert described == {
        path: {method.lower() for method in by_method} for path, by_method in ROUTES.items()
    }


def test_description_is_served() -> None:
    answer = admin(host(), "GET", "/openapi.yaml")
    assert answer.body.startswith(b"openapi: 3.1")


def test_health_says_what_is_running() -> None:
    body = admin(host(clock="2024-05-01T12:00:00Z"), "GET", "/health").json()
    assert (body["status"], body["host_version"], body["runs_running"]) == ("ok", "0.6.4", 0)
    assert body["clock"] == {
        "unix": AT,
        "iso": "2024-05-01T12:00:00+00:00",
        "frozen": True,
        "shifted_s": ANY,
    }


def test_health_says_when_the_server_goes_down() -> None:
    app = host()
    app.end_runs()
    assert admin(app, "GET", "/health").json()["status"] == "ending"


def test_settings_are_shown_without_secrets() -> None:
    app = host(apps=(("app-chat", "chat"),), admin_token="opensesame", files_url="http://files")
    body = admin(app, "GET", "/settings").json()
    assert set(body) == set(Settings.__dataclass_fields__)
    assert (body["api_keys"], body["apps"]) == (["[redacted]"], [["[redacted]", "chat"]])
    assert (body["secret_key"], body["admin_token"]) == ("[redacted]", "[redacted]")
    assert (body["speed"], body["files_url"]) == ("instant", "http://files")


def test_metrics_count_requests() -> None:
    app = host()
    admin(app, "POST", "/scenarios", {"name": "node_failed", "times": 1})
    run(app)
    run(app, run_body(mode="streaming"))
    call(app, "GET", "/v1/nothing", LOCAL)
    text = admin(app, "GET", "/metrics").body.decode()
    lines = set(text.splitlines())
    assert {
        'fake_dify_requests_total{operation="runWorkflow",status="200"} 2.0',
        'fake_dify_requests_total{operation="",status="404"} 1.0',
        'fake_dify_request_seconds_count{operation="runWorkflow"} 2.0',
        'fake_dify_runs_total{mode="blocking",status="failed"} 1.0',
        'fake_dify_runs_total{mode="streaming",status="succeeded"} 1.0',
        'fake_dify_scenarios_matched_total{name="node_failed"} 1.0',
        "fake_dify_runs_running 0.0",
        "fake_dify_streams_open 0.0",
        "fake_dify_requests_running 0.0",
        "fake_dify_journal_entries 3.0",
    } <= lines
    assert re.search(
        r'^fake_dify_build_info\{host_version="0.6.4",version="[^"]+"\} 1.0$', text, re.MULTILINE
    )


def test_rules_are_added_shown_and_taken_away() -> None:
    app = host()
    rules = [{"name": "node_failed", "when": {"user": "zk-1"}}, {"name": "slow", "times": 2}]
    added = admin(app, "POST", "/scenarios", rules)
    assert added.status == 201
    rules = added.json()["scenarios"]
    assert [(rule["name"], rule["times"], rule["source"]) for rule in rules] == [
        ("node_failed", None, "admin"),
        ("slow", 2, "admin"),
    ]
    assert admin(app, "GET", "/scenarios").json()["scenarios"] == rules
    assert admin(app, "DELETE", f"/scenarios?id={rules[0]['id']}").json() == {"removed": 1}
    assert admin(app, "DELETE", f"/scenarios?id={rules[0]['id']}").status == 404
    assert admin(app, "DELETE", "/scenarios").json() == {"removed": 1}
    assert admin(app, "GET", "/scenarios").json()["scenarios"] == []


def test_a_rule_that_cannot_be_used_changes_nothing() -> None:
    """The nearest right name is in the message, the place beside it, and no rule of the list is
    kept.
    """
    app = host()
    refused = admin(app, "POST", "/scenarios", [{"name": "slow"}, {"name": "node_faild"}])
    assert refused.status == 400
    error = refused.json()["error"]
    assert "did you mean 'node_failed'?" in error["message"]
    assert error["place"] == "[1].name"
    assert admin(app, "GET", "/scenarios").json()["scenarios"] == []


def test_clock_is_frozen_moved_and_let_go() -> None:
    app = host()
    frozen = admin(app, "POST", "/clock", {"freeze": "2024-05-01T12:00:00Z"}).json()
    assert frozen == {
        "unix": AT,
        "iso": "2024-05-01T12:00:00+00:00",
        "frozen": True,
        "shifted_s": ANY,
    }
    assert admin(app, "POST", "/clock", {"advance_s": 300}).json()["unix"] == AT + 300
    assert admin(app, "POST", "/clock", {"set": 1.5}).json()["unix"] == 1.5
    assert admin(app, "GET", "/clock").json()["frozen"] is True
    assert admin(app, "POST", "/clock", {"resume": True}).json()["frozen"] is False
    assert app.host.clock.now() < AT
    assert admin(app, "POST", "/clock", {"freeze": True}).json()["frozen"] is True


@pytest.mark.parametrize(
    ("body", "place", "words"),
    [
        ({}, "body", "exactly one of these keys is needed: freeze, set, advance_s, resume"),
        ({"freeze": True, "set": 1}, "body", "exactly one"),
        ({"frezze": True}, "frezze", "did you mean 'freeze'?"),
        ({"freeze": False}, "freeze", "resume ends it"),
        ({"freeze": "noon"}, "freeze", "'noon' is not a valid time"),
        ({"set": "now"}, "set", "expected a number from 0 to 253370764799, not 'now'"),
        ({"set": -1}, "set", "expected a number from 0 to 253370764799, not -1"),
        ({"advance_s": -1}, "advance_s", "expected a number from 0 to 253370764799, not -1"),
        ({"advance_s": 1e300}, "advance_s", "from 0 to 253370764799"),
        ({"advance_s": True}, "advance_s", "a number from 0 to 253370764799, not true"),
        ({"resume": 1}, "resume", "true is needed"),
        ([], "body", "expected a mapping of names to values, not a list"),
        (b"{", "body", "it is not valid JSON"),
        (b"[" * 100_000, "body", "it is nested too deep"),
        (b'{"set": NaN}', "set", "expected a number from 0 to 253370764799, not nan"),
    ],
)
def test_a_move_that_cannot_be_made_moves_nothing(body: Any, place: str, words: str) -> None:
    app = host(clock="2024-05-01T12:00:00Z")
    refused = admin(app, "POST", "/clock", body)
    assert refused.status == 400
    error = refused.json()["error"]
    assert error["place"] == place
    assert words in error["message"]
    assert app.host.clock.now() == AT


def test_reset_puts_back_everything() -> None:
    """The same requests after it get the same answers, byte for byte."""
    app = host(clock="2024-05-01T12:00:00Z")
    first = run(app)
    admin(app, "POST", "/scenarios", {"name": "node_failed"})
    admin(app, "POST", "/clock", {"advance_s": 1000})
    assert run(app).body != first.body
    assert admin(app, "POST", "/reset").json() == {"reset": True, "seed": 1}
    assert requests_of(app) == []
    assert admin(app, "GET", "/scenarios").json()["scenarios"] == []
    assert admin(app, "GET", "/clock").json() == {
        "unix": AT,
        "iso": "2024-05-01T12:00:00+00:00",
        "frozen": True,
        "shifted_s": ANY,
    }
    assert run(app).body == first.body
    assert run(app).body != first.body


def test_reset_with_another_seed_draws_other_values() -> None:
    app = host(clock="2024-05-01T12:00:00Z")
    first = run(app).body
    assert admin(app, "POST", "/reset", {"seed": 2}).json()["seed"] == 2
    assert run(app).body != first
    admin(app, "POST", "/reset", {"seed": 1})
    assert run(app).body == first


def test_reset_forgets_images() -> None:
    app = host()
    files = run(app).json()["data"]["outputs"]["files"]
    assert call(app, "GET", files[0]["url"], LOCAL).status == 200
    app.reset()
    assert call(app, "GET", files[0]["url"], LOCAL).status != 200


@pytest.mark.parametrize(
    ("seed", "words"), [("x", "expected a whole number"), (1.5, "expected a whole number")]
)
def test_reset_refuses_what_is_no_seed(seed: Any, words: str) -> None:
    app = host()
    run(app)
    refused = admin(app, "POST", "/reset", {"seed": seed})
    assert refused.status == 400
    assert words in refused.json()["error"]["message"]
    assert len(requests_of(app)) == 1


def test_unknown_path_gets_the_paths_that_there_are() -> None:
    refused = admin(host(), "GET", "/request")
    assert refused.status == 404
    message = refused.json()["error"]["message"]
    assert "did you mean '/__admin/requests'?" in message
    assert all(path in message for path in ROUTES)


@pytest.mark.parametrize("path", ROUTES)
def test_other_methods_are_refused_with_those_that_will_do(path: str) -> None:
    refused = admin(host(), "PATCH", path.removeprefix("/__admin"))
    assert refused.status == 405
    assert refused.header("Allow") == ", ".join(sorted(ROUTES[path]))


def test_a_preflight_gets_no_grant() -> None:
    """The answers carry no header by which a page of another origin might read them."""
    app = host()
    for answer in (admin(app, "OPTIONS", "/health"), admin(app, "GET", "/health")):
        assert not [name for name, _ in answer.headers if name.lower().startswith("access-control")]


def test_a_body_over_a_mebibyte_is_refused() -> None:
    refused = admin(host(), "POST", "/scenarios", b" " * ((1 << 20) + 1))
    assert refused.status == 413


@pytest.mark.parametrize(
    ("method", "path", "body", "words"),
    [
        ("GET", "/requests?pth=/v1", None, "did you mean 'path'?"),
        ("GET", "/requests?status=ok", None, "expected a number, not 'ok'"),
        ("GET", "/requests?status=200.5", None, "expected a whole number"),
        ("GET", "/requests?since=-1", None, "not -1"),
        ("GET", "/requests?warnings=yes", None, "known: true, false"),
        ("GET", "/requests?limit=nan", None, "a whole number"),
        ("DELETE", "/requests?id=1", None, "none is allowed here"),
        ("DELETE", "/scenarios?name=slow", None, "known: id"),
        ("POST", "/reset", {"sed": 1}, "did you mean 'seed'?"),
        ("POST", "/requests/wait", {"match": {"promt": "x"}}, "did you mean 'prompt'?"),
        ("POST", "/requests/wait", {"match": []}, "expected a mapping"),
        ("POST", "/requests/wait", {"match": {"status": "200"}}, "a whole number, not '200'"),
        ("POST", "/requests/wait", {"match": {"header": {"x": 1}}}, "a string, or null for absent"),
        ("POST", "/requests/wait", {"count": 0}, "from 1 to 1000, not 0"),
        ("POST", "/requests/wait", {"timeout_s": 601}, "from 0 to 600, not 601"),
        ("POST", "/requests/verify", {"count": {"least": 1}}, "did you mean 'at_least'?"),
        ("POST", "/requests/verify", {"count": {}}, "a number is needed, or at_least or at_most"),
        ("POST", "/requests/verify", {"count": {"at_least": 2, "at_most": 1}}, "at least 2"),
        ("POST", "/requests/verify", {"count": "1"}, "a whole number"),
    ],
)
def test_what_a_call_cannot_use_is_refused(method: str, path: str, body: Any, words: str) -> None:
    refused = admin(host(), method, path, body)
    assert refused.status == 400
    assert words in refused.json()["error"]["message"]
    assert refused.json()["error"]["place"]


def test_admin_calls_are_not_in_the_journal_nor_counted() -> None:
    app = host()
    admin(app, "GET", "/health")
    assert requests_of(app) == []
    assert not app.host.counters.requests


def test_no_answer_of_the_admin_api_holds_a_key_or_a_signature() -> None:
    """Whatever way they were planted: as header, in path, query and body, escaped, and in the calls
    themselves.
    """
    secret, token, chat_key, foreign = (
        'sk-"secrét"-钥匙',
        "opensesame",
        "app-chat-key-of-ours",
        "app-NotOfThisHost00000000000",
    )
    app = host(secret_key=secret, admin_token=token, apps=((chat_key, "chat"),))
    url = run(app).json()["data"]["outputs"]["files"][0]["url"]
    signed = dict(re.findall(r"(sign|nonce)=([\w=-]+)", url))
    keys = [DEFAULT_API_KEY, secret, token, chat_key, foreign]
    call(app, "GET", url, LOCAL)
    run(app, run_body(prompt=" ".join(keys), model_name=url))
    run(app, run_body(prompt=url, mode="streaming"))
    escaped = f"\\u0026sign={signed['sign']}".replace("=", "\\u003d").encode()
    run(app, b'{"inputs": {"prompt": "%b"}, "user": "u", "response_mode": "blocking"}' % escaped)
    run(
        app,
        b"\xff" + chat_key.encode(),
        f"?key={chat_key}&x={url.replace('=', '%3D')}",
        Cookie=f"a={token}",
    )
    call(
        app,
        "GET",
        f"/v1/{chat_key}",
        {**LOCAL, "X-Admin-Token": token, "Authorization": f"Basic {foreign}"},
    )
    run(app, run_body(prompt=f"{'x' * 100_000}{chat_key}"))
    calls: list[tuple[str, str, Any]] = [
        ("GET", "/requests", None),
        ("GET", "/settings", None),
        ("GET", "/metrics", None),
        ("GET", f"/requests?{chat_key}=1", None),
        ("GET", f"/{chat_key}", None),
        (
            "POST",
            "/requests/wait",
            {"match": {"prompt": secret, "header": {"authorization": foreign}}, "timeout_s": 0},
        ),
        (
            "POST",
            "/requests/verify",
            {"match": {"header": {"authorization": None}, "path": "/v1/*"}, "count": 9},
        ),
        ("POST", "/clock", {"freeze": secret}),
        ("POST", "/scenarios", {"name": token}),
        ("POST", "/scenarios", {"name": "slow", "when": {"user": chat_key}}),
        ("GET", "/scenarios", None),
    ]
    for method, path, sent in calls:
        text = admin(app, method, path, sent).body.decode()
        for form in (text, repr(json.loads(text)) if text.startswith("{") else text):
            assert [word for word in (*keys, *signed.values()) if word in form] == [], (
                method,
                path,
            )
    assert len(requests_of(app)) == 8


def test_a_key_that_the_kept_part_of_a_body_cuts_short_is_not_shown() -> None:
    key = "app-chat-key-of-ours"
    app = host(apps=((key, "chat"),))
    run(app, b"x" * ((1 << 16) - 10) + key.encode())
    [entry] = requests_of(app)
    assert entry["truncated"] is True
    assert entry["body"].endswith("x[redacted]")


def test_a_callers_own_clock_is_put_back_to_the_machines_time() -> None:
    clock = Clock(lambda: 1000.0, lambda: 5.0)
    clock.freeze(7.0)
    clock.reset()
    assert (clock.now(), clock.ticks(), clock.frozen) == (1000.0, 5.0, False)
