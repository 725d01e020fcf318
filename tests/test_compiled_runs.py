"""Compiled runs send what the ordinary path sends, to the byte, and leave the same behind."""

from __future__ import annotations

import asyncio
import gc
import json
from collections.abc import Mapping
from functools import cache
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import event, given
from hypothesis import strategies as st
from starlette.types import Message

from fake_server import Settings, create_app
from fake_server.app import FakeServer
from fake_server.clock import Clock
from fake_server.host_spec import HostError
from fake_server.http.quick import PlayedResponse, QuickResponse
from fake_server.http.responses import Response
from fake_server.journal.exchanges import Counters, Journal
from fake_server.runs.random_values import RandomSource
from fake_server.store import Store
from fake_server.workflow.behaviour import NodeBehaviour
from fake_server.workflow.model import Node, StartVariable, Workflow
from tests import asgi

VERSIONS = ("0.6.3", "0.6.4", "0.6.9")
KEY = "app-FakeHostKey0123456789abc"
NOW = 1_714_000_000.25
HEADERS = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}


def body(inputs: Mapping[str, Any], mode: str = "blocking", user: str = "abc-123") -> bytes:
    return json.dumps({"inputs": inputs, "response_mode": mode, "user": user}).encode()


@cache
def made(version: str, speed: float | None = None) -> FakeServer:
    return create_app(Settings(speed=speed, host_version=version))


def server(
    version: str, workflow: Workflow | None = None, seed: int | None = 7, speed: float | None = None
) -> FakeServer:
    """A new server whose only app has ``workflow``, or the document's; its wall clock stands."""
    known, clock = made(version, speed).host, Clock(wall=lambda: NOW)
    app = known.apps[KEY]
    host = known._replace(
        apps={KEY: app if workflow is None else app._replace(workflow=workflow)},
        clock=clock,
        random=RandomSource(seed),
        store=Store(),
        journal=Journal(clock),
        counters=Counters(),
    )
    return FakeServer(host, made(version).scenarios)


def quick(of: FakeServer, sent: bytes, headers: Mapping[str, str] = HEADERS) -> Any:
    """The quick response, with all its headers; None where the ordinary path has to respond."""
    scope = asgi.scope("POST", "/v1/workflows/run", headers)
    responder = of.quick_responder(scope)
    response = None if responder is None else responder.respond(scope, sent)
    if isinstance(response, Response):
        headers_sent = [(name.decode(), value.decode()) for name, value in response.headers]
        return response.status, sorted(headers_sent), response.body
    if response is None:
        return None
    assert isinstance(response, QuickResponse)
    framing = [] if response.chunked else [("Content-Length", str(len(response.body)))]
    headers_sent = [(name.decode(), value.decode()) for name, value in response.headers]
    return 200, sorted([*headers_sent, *framing]), response.body


def ordinary(of: FakeServer, sent: bytes, headers: Mapping[str, str] = HEADERS) -> Any:
    answer = asgi.call(of, "POST", "/v1/workflows/run", headers, sent)
    return answer.status, sorted(answer.headers), answer.body


def left_behind(of: FakeServer) -> Any:
    """What later requests, the journal and the metrics can see of the runs so far."""
    store, counters = of.host.store, of.host.counters
    entries = [
        (
            entry.operation,
            entry.state,
            entry.logged_status,
            sorted(entry.headers),
            entry.is_stream,
            entry.sent_bytes,
            entry.body_bytes,
            entry.json(),
            entry.user(),
        )
        for entry in of.host.journal.entries()
    ]
    return (
        dict(store.images),
        {name: user.name for name, user in store.end_users.items()},
        store.sequence_numbers,
        store.runs_ended,
        counters.requests,
        (counters.running, counters.streams_open),
        entries,
    )


# The document's app
# --------------------------------------------------------------------------------------------------

INPUTS: list[dict[str, Any]] = [
    {"prompt": "a cat", "model_name": "dosmix_"},
    {"prompt": "一个胸有成竹的男人", "model_name": "chilloutmix_NiPrunedFp32Fix"},
    {"prompt": "a cat"},
    {"prompt": "a cat", "model_name": None},
    {"prompt": 'He said "hi" \\ 100% %s\n\ttab 😀', "model_name": "dosmix_"},
]


@pytest.mark.parametrize(
    ("version", "mode"),
    [
        ("0.6.3", "blocking"),
        ("0.6.4", "blocking"),
        ("0.6.4", "streaming"),
        ("0.6.9", "blocking"),  # in its streams, the pieces of a text depend on the prompt
    ],
)
@pytest.mark.parametrize("seed", [7, 8])
def test_the_documents_app_is_compiled(version: str, mode: str, seed: int) -> None:
    compiled, plain = server(version, seed=seed), server(version, seed=seed)
    for inputs in [*INPUTS, *INPUTS]:  # a request that comes again has other ids
        sent = body(inputs, mode)
        response = quick(compiled, sent)
        assert response is not None
        assert response == ordinary(plain, sent)
    assert left_behind(compiled) == left_behind(plain)


# Any app
# --------------------------------------------------------------------------------------------------

LITERALS = st.sampled_from(
    ["", "a cat, ", "100% %s ", "\\", '"', "中文 ", "<|x|>", "a\n", "{{#start.nothing#}}", " é😀"]
)
PLAIN_TEXTS = st.sampled_from(["a cat", "512", "一只猫", " 100% \\ ", "x" * 300, '"😀"\n'])
TEXTS = st.one_of(
    st.text(max_size=40),
    st.lists(LITERALS, max_size=3).map("".join),
    st.sampled_from(["a cat", "512", "x" * 300, " a", "a ", "true", "一只猫"]),
)


@st.composite
def templates(draw: st.DrawFn, sources: list[tuple[str, str]]) -> str:
    """A text with references to what is there so far."""
    references = st.sampled_from(sources).map(lambda one: f"{{{{#{one[0]}.{one[1]}#}}}}")
    return "".join(draw(st.lists(st.one_of(LITERALS, references), min_size=1, max_size=3)))


KINDS = [*["llm", "tool", "if-else"] * 4, "template-transform", "code"]
"""The last depend on texts as a rule, so that their runs are not compiled."""

NAMES = [("prompt",), ("prompt", "style"), ("style", "size", "prompt")]


@st.composite
def workflows(draw: st.DrawFn) -> Workflow:
    """A chain of nodes of all sorts, each of which may use what those before it gave."""
    variables = []
    for name in draw(
        st.sampled_from([("prompt",), ("prompt", "style"), ("style", "size", "prompt")])
    ):
        options = draw(st.sampled_from([None, None, ("512", "a cat")]))
        kind = "paragraph" if options is None else "select"
        most = draw(st.sampled_from([None, 48, 1000]))
        variables.append(StartVariable(name, kind, draw(st.booleans()), most, options, None, {}))
    sources = [("start", one.name) for one in variables] + [("sys", "user_id")]
    nodes = [Node("start", "start", "Start", {}, behaviour(draw))]
    edges: dict[tuple[str, str], tuple[str, ...]] = {}
    for number in range(draw(st.integers(0, 4))):
        node_id = f"n{number}"
        kind = draw(st.sampled_from(KINDS))
        node, outputs = NODES[kind](draw, node_id, sources)
        nodes.append(node)
        sources += [(node_id, output) for output in outputs]
    shown = [
        {"variable": f"out{index}", "value_selector": list(source)}
        for index, source in enumerate(draw(st.lists(st.sampled_from(sources), max_size=3)))
    ]
    nodes.append(Node("end", "end", "End", {"outputs": shown}, behaviour(draw)))
    for one, following in pairwise(nodes):
        for handle in ("true", "false") if one.type == "if-else" else ("source",):
            edges[one.node_id, handle] = (following.node_id,)
    return Workflow(
        "app", "", "id", {}, tuple(variables), {node.node_id: node for node in nodes}, edges
    )


def behaviour(draw: st.DrawFn, **known: Any) -> NodeBehaviour:
    spread = draw(st.sampled_from([0.05, 0, 1]))
    return NodeBehaviour(draw(st.sampled_from([0, 0.004, 3.2, 400])), spread, **known)


def llm(draw: st.DrawFn, node_id: str, sources: list[tuple[str, str]]) -> Any:
    prompts = [{"role": "system", "text": draw(templates(sources))}]
    tokens = draw(st.sampled_from([*[(480, 56)] * 8, (None, 5)]))
    known = behaviour(
        draw,
        reply=draw(st.none() | templates(sources)),
        prompt_tokens=tokens[0],
        completion_tokens=tokens[1],
    )
    data = {"model": {"name": "m", "provider": "p"}, "prompt_template": prompts}
    return Node(node_id, "llm", "LLM", data, known), ["text"]


def if_else(draw: st.DrawFn, node_id: str, sources: list[tuple[str, str]]) -> Any:
    operator = draw(st.sampled_from(["empty", *["not empty"] * 6, "contains", "is"]))
    condition = {
        "variable_selector": list(draw(st.sampled_from(sources))),
        "comparison_operator": operator,
        "value": "a",
    }
    return Node(node_id, "if-else", "If", {"conditions": [condition]}, behaviour(draw)), ["result"]


def tool(draw: st.DrawFn, node_id: str, sources: list[tuple[str, str]]) -> Any:
    built_in = draw(st.booleans())
    source = draw(st.sampled_from(sources))
    parameters = {
        "prompt": draw(
            st.one_of(
                templates(sources).map(lambda text: {"type": "mixed", "value": text}),
                st.just({"type": "variable", "value": list(source)}),
            )
        )
    }
    if draw(st.sampled_from([True, False, False, False, False])):
        parameters["width"] = {"type": "variable", "value": list(source)}
    data = {
        "provider_id": "stablediffusion" if built_in else "other",
        "provider_type": "builtin",
        "tool_name": "stable_diffusion" if built_in else "other",
        "tool_label": "A tool",
        "tool_parameters": parameters,
        "tool_configurations": {"steps": 20, "width": 512, "height": 512, "model": "m"},
    }
    text = draw(st.none() | templates(sources).map(lambda one: (one,)))
    return Node(node_id, "tool", "Tool", data, behaviour(draw, text=text)), ["text", "files"]


def template_transform(draw: st.DrawFn, node_id: str, sources: list[tuple[str, str]]) -> Any:
    variables = draw(
        st.sampled_from(
            [[], [{"variable": "x", "value_selector": list(draw(st.sampled_from(sources)))}]]
        )
    )
    data = {"template": "{{ x | default('-') }} {{ x | default('') | length }}"}
    node = Node(
        node_id, "template-transform", "Jinja", {**data, "variables": variables}, behaviour(draw)
    )
    return node, ["output"]


def code(draw: st.DrawFn, node_id: str, sources: list[tuple[str, str]]) -> Any:
    known = behaviour(draw, outputs={"x": draw(templates(sources)), "number": 7})
    return Node(node_id, "code", "Code", {"code": "", "variables": []}, known), ["x", "number"]


NODES = {
    "llm": llm,
    "if-else": if_else,
    "tool": tool,
    "template-transform": template_transform,
    "code": code,
}


@st.composite
def requests(draw: st.DrawFn, workflow: Workflow) -> bytes:
    inputs = {}
    for variable in workflow.variables:
        if variable.options and draw(st.booleans()):
            inputs[variable.name] = draw(st.sampled_from(variable.options))
        elif variable.required or draw(st.booleans()):
            inputs[variable.name] = draw(st.one_of(PLAIN_TEXTS, PLAIN_TEXTS, TEXTS))
    mode = draw(st.sampled_from(["blocking", "streaming"]))
    return body(inputs, mode, draw(st.sampled_from(["u", "é", "a b", "<|", '"'])))


@given(st.data())
def test_a_compiled_run_is_the_ordinary_one(data: st.DataObject) -> None:
    version, workflow = data.draw(st.sampled_from(VERSIONS)), data.draw(workflows())
    seed = data.draw(st.integers(0, 3))
    compiled, plain = server(version, workflow, seed), server(version, workflow, seed)
    for sent in data.draw(st.lists(requests(workflow), min_size=1, max_size=3)):
        response = quick(compiled, sent)
        event("ordinary" if response is None else "compiled")
        if response is None:
            asgi.call(compiled, "POST", "/v1/workflows/run", HEADERS, sent)
            asgi.call(plain, "POST", "/v1/workflows/run", HEADERS, sent)
        else:
            assert response == ordinary(plain, sent)
    assert left_behind(compiled) == left_behind(plain)


# Runs that are played by the clock
# --------------------------------------------------------------------------------------------------

SLOW = 1e6
"""Runs take microseconds at this speed, and wait all the same."""


def played(of: FakeServer, sent: bytes) -> tuple[PlayedResponse, list[str]]:
    """A run that has begun, and what it says when the ordinary path is to take over."""
    scope = asgi.scope("POST", "/v1/workflows/run", HEADERS)
    responder = of.quick_responder(scope)
    assert responder is not None
    response = responder.respond(scope, sent)
    assert response is not None
    assert not isinstance(response, QuickResponse | Response)
    handed_over: list[str] = []
    response.begin(lambda call: call(), lambda: handed_over.append("handed over"))
    return response, handed_over


@pytest.mark.parametrize("mode", ["blocking", "streaming"])
def test_a_played_run_sends_and_leaves_what_the_ordinary_one_does(mode: str) -> None:
    compiled, plain = server("0.6.4", speed=SLOW), server("0.6.4", speed=SLOW)
    for inputs in INPUTS:
        sent = body(inputs, mode)
        response, handed_over = played(compiled, sent)
        assert compiled.host.store.runs_running == compiled.clock.waiting == 1
        parts = []
        while not response.over:
            assert response.delay_s() < 1
            parts.append(response.part())
        assert not handed_over
        assert b"".join(parts) == ordinary(plain, sent)[2]
    assert compiled.host.store.runs_running == compiled.clock.waiting == 0
    assert left_behind(compiled) == left_behind(plain)


def go_on(response: PlayedResponse) -> bytes:
    """What the ordinary path sends after it has taken over."""
    messages: list[Message] = []

    async def send(message: Message) -> None:
        messages.append(message)

    scope = asgi.scope("POST", "/v1/workflows/run", HEADERS)
    asyncio.run(response.rest(scope, asgi.client(), send))
    assert not messages[-1].get("more_body")
    return b"".join(message.get("body", b"") for message in messages)


@pytest.mark.parametrize("mode", ["blocking", "streaming"])
def test_the_ordinary_path_takes_over_anywhere(mode: str) -> None:
    for number in range(14 if mode == "streaming" else 1):  # the last is the end of the stream
        compiled, plain = server("0.6.4", speed=SLOW), server("0.6.4", speed=SLOW)
        sent = body(INPUTS[1], mode)
        response, handed_over = played(compiled, sent)
        parts = [response.part() for _ in range(number)]
        compiled.clock.advance(0)
        assert handed_over == ["handed over"]
        assert compiled.clock.waiting == 0
        assert b"".join(parts) + go_on(response) == ordinary(plain, sent)[2]
        assert left_behind(compiled) == left_behind(plain)
        assert compiled.host.store.runs_running == 0


@pytest.mark.parametrize("seed", [7, None])
def test_a_played_run_can_be_stopped(seed: int | None) -> None:
    of = server("0.6.4", seed=seed, speed=1)
    response, handed_over = played(of, body(INPUTS[0], "streaming"))
    parts = [response.part() for _ in range(3)]
    frames = [json.loads(part.removeprefix(b"data: ")) for part in parts]
    task = of.host.store.task(frames[0]["task_id"])
    assert task is not None
    task.playback.stop()
    assert handed_over == ["handed over"]
    rest = [json.loads(one) for one in go_on(response).split(b"data: ")[1:]]
    assert rest[-1]["data"]["status"] == "stopped"
    assert {one["task_id"] for one in frames + rest} == {frames[0]["task_id"]}
    assert of.host.store.runs_ended == {("streaming", "stopped"): 1}


def test_a_client_leaves_a_played_run() -> None:
    of = server("0.6.4", speed=1)
    response, _ = played(of, body(INPUTS[0], "streaming"))
    response.part()
    response.left()
    assert of.host.store.runs_running == of.clock.waiting == 0
    (entry,) = of.host.journal.entries()
    assert (entry.state, of.host.counters.running) == ("client left", 0)


def test_a_reset_abandons_a_played_run() -> None:
    of = server("0.6.4", speed=1)
    response, handed_over = played(of, body(INPUTS[0], "streaming"))
    response.part()
    of.reset()
    assert handed_over == ["handed over"]
    assert go_on(response) == b""


# What is not plain
# --------------------------------------------------------------------------------------------------

CHANGES: list[dict[str, Any]] = [
    {"user": ""},
    {"user": 5},
    {"user": "u" * 256},
    {"user": "\ud800"},
    {"inputs": None},
    {"inputs": {}},
    {"inputs": {"prompt": 5}},
    {"inputs": {"prompt": "{{#sys.user_id#}}"}},
    {"inputs": {"prompt": "a\x00"}},
    {"inputs": {"prompt": "x" * 1001}},
    {"inputs": {"prompt": "a cat", "model_name": "none"}},
    {"inputs": {"prompt": "a cat", "other": 1}},
    {"response_mode": "other"},
    {"response_mode": None},
    {"files": [{}]},
    {"other": 1},
]
PLAIN = {"inputs": {"prompt": "a cat"}, "response_mode": "blocking", "user": "u"}


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"[]",
        b"{",
        b"\xff",
        b"[" * 100_000,
        json.dumps(PLAIN).encode("utf-16"),
        *(json.dumps({**PLAIN, **change}).encode() for change in CHANGES),
    ],
)
def test_what_is_not_plain_is_refused_or_takes_the_ordinary_path(sent: bytes) -> None:
    assert_alike(HEADERS, sent)


@pytest.mark.parametrize(
    "change",
    [
        {"Authorization": "Bearer wrong"},
        {"Authorization": "Basic abc"},
        {"Authorization": "\xa0 abc"},
        {"Content-Type": "text/plain"},
        {"Origin": "http://shop", "Authorization": "Bearer wrong"},
    ],
)
@pytest.mark.parametrize("version", ["0.6.4", "1.14.2"])
def test_what_a_head_refuses_is_refused_at_once(version: str, change: Mapping[str, str]) -> None:
    assert_alike({**HEADERS, **change}, json.dumps(PLAIN).encode(), version)


ODD = st.none() | st.booleans() | st.integers() | st.sampled_from(["", "a", "streaming", [], {}])


@given(
    st.dictionaries(st.sampled_from(["inputs", "response_mode", "user", "files"]), ODD),
    st.sampled_from(["0.6.4", "0.15.3", "1.14.2"]),
)
def test_any_odd_body_is_refused_as_the_ordinary_path_does(
    change: Mapping[str, Any], version: str
) -> None:
    assert_alike(HEADERS, json.dumps({**PLAIN, **change}).encode(), version)


def assert_alike(headers: Mapping[str, str], sent: bytes, version: str = "0.6.4") -> None:
    """A quick response is the ordinary one and leaves the same; where there is none, no entry is
    in the journal.
    """
    of, plain = server(version), server(version)
    headers = {**headers, "Content-Length": str(len(sent))}
    response = quick(of, sent, headers)
    if response is None:
        assert len(of.host.journal) == 0
        return
    assert response == ordinary(plain, sent, headers)
    assert left_behind(of) == left_behind(plain)


@pytest.mark.parametrize("inputs", [{}, None])
@pytest.mark.parametrize("key", [KEY, "wrong"])
def test_errors_leave_nothing_to_the_garbage_collector(inputs: Any, key: str) -> None:
    """An error knows the frames that it went through, and they must not know the error."""

    def errors() -> int:
        return sum(isinstance(one, HostError) for one in gc.get_objects())

    of, headers = server("0.6.4"), {**HEADERS, "Authorization": f"Bearer {key}"}
    gc.collect()
    gc.disable()
    try:
        before = errors()
        assert quick(of, body(inputs), headers) is not None
        assert ordinary(of, body(inputs), headers)[0] >= 400
        assert errors() == before
    finally:
        gc.enable()


@pytest.mark.parametrize("change", [{"X-Fake-Scenario": "http_error"}, {"Host": "a/b"}])
def test_other_heads_take_the_ordinary_path(change: Mapping[str, str]) -> None:
    assert quick(server("0.6.4"), json.dumps(PLAIN).encode(), {**HEADERS, **change}) is None


def test_a_scenario_takes_the_ordinary_path_until_it_is_gone() -> None:
    of, sent = server("0.6.4"), json.dumps(PLAIN).encode()
    assert quick(of, sent) is not None
    of.scenarios.add([{"name": "http_error"}])
    assert quick(of, sent) is None
    of.scenarios.clear()
    assert quick(of, sent) is not None
