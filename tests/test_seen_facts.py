"""Facts that were seen on 0.6.4 without an exchange being kept (FACTS 12), asked of the fake one by
one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fake_server import create_app
from fake_server.settings import DEFAULT_API_KEY, Settings
from fake_server.workflow.expressions import fill_parameter, fill_prompt, prompt_values
from tests.asgi import AsgiAnswer, call, json_headers
from tests.serving import ROOT

START, LLM, TOOL, END = "1001", "1002", "1003", "1004"
MODELS = (
    "chilloutmix_NiPrunedFp32Fix",
    "dosmix_",
    "ghostmix_v20Bakedvae",
    "rundiffusionFX_v10",
    "v1-5-pruned-emaonly",
)
DEFAULT_NEGATIVE = "bad art, ugly, deformed, watermark, duplicated, discontinuous lines"
DEFAULTS = {
    "model": MODELS[0],
    "lora": "",
    "steps": 10,
    "width": 1024,
    "height": 1024,
    "negative_prompt": DEFAULT_NEGATIVE,
}

# An app, and its runs
# ------------------------------------------------------------------------------------------------


def app_of(
    *nodes: Mapping[str, Any], variables: Sequence[Mapping[str, Any]] = ()
) -> dict[str, Any]:
    """An export whose nodes follow each other: a start, ``nodes`` and an end with the outputs of
    the last of them.
    """
    prompt = {
        "label": "p",
        "max_length": 500,
        "required": True,
        "type": "paragraph",
        "variable": "prompt",
    }
    start = {"type": "start", "title": "开始", "variables": [prompt, *variables]}
    end = {"type": "end", "title": "结束", "outputs": []}
    ids = [START, *(LLM if node["type"] == "llm" else TOOL for node in nodes), END]
    return {
        "app": {"name": "seen", "mode": "workflow"},
        "workflow": {
            "graph": {
                "nodes": [
                    {"id": node_id, "data": data}
                    for node_id, data in zip(ids, (start, *nodes, end), strict=True)
                ],
                "edges": [{"source": a, "target": b} for a, b in pairwise(ids)],
            }
        },
    }


def llm(*texts: str, **more: Any) -> dict[str, Any]:
    prompts = [{"role": "user", "text": text} for text in texts]
    return {
        "type": "llm",
        "title": "LLM",
        "model": {"mode": "chat"},
        "prompt_template": prompts,
        **more,
    }


def tool(settings: Mapping[str, Any] | None = None, **parameters: Any) -> dict[str, Any]:
    return {
        "type": "tool",
        "title": "T",
        "provider_id": "stablediffusion",
        "provider_type": "builtin",
        "tool_name": "stable_diffusion",
        "tool_parameters": parameters,
        "tool_configurations": settings or {},
    }


def mixed(text: str) -> dict[str, str]:
    return {"type": "mixed", "value": text}


def serve(folder: Path, app: Mapping[str, Any]) -> Any:
    path = folder / "seen.yml"
    path.write_text(json.dumps(app), "utf-8")  # JSON is YAML
    return create_app(Settings(apps=(("app-seen", str(path)),), speed=None, seed=1))


def post(served: Any, body: bytes, key: str = "app-seen") -> AsgiAnswer:
    return call(served, "POST", "/v1/workflows/run", json_headers(key), body)


def frames_of(served: Any, key: str = "app-seen", **inputs: Any) -> list[dict[str, Any]]:
    """The ``data`` of each frame of a stream."""
    body = json.dumps({"inputs": inputs, "response_mode": "streaming", "user": "u"}).encode()
    answer = post(served, body, key)
    assert answer.status == 200, answer.body
    return [
        json.loads(frame[6:])["data"]
        for frame in answer.body.decode().split("\n\n")
        if frame.startswith("data")
    ]


def finished(frames: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    return next(data for data in frames if data.get("node_type") == kind and "status" in data)


# 12.1 to 12.11
# --------------------------------------------------------------------------------------------------

EXPORTED: Mapping[str, Any] = {
    "memory": None,
    "variables": [],
    "vision": {"configs": {"detail": "high"}, "enabled": True},
}


@pytest.mark.parametrize(
    "context",
    [
        {"enabled": False, "variable_selector": []},
        {"enabled": True, "variable_selector": []},
        {"enabled": False, "variable_selector": None},
        {"enabled": True, "variable_selector": [START, "prompt"]},
        None,
    ],
)
def test_an_exported_model_runs_whatever_its_context(tmp_path: Path, context: Any) -> None:
    """12.1, with the keys that Dify's own editor writes beside it."""
    frames = frames_of(
        serve(tmp_path, app_of(llm("a", "[{{#context#}}]", context=context, **EXPORTED))),
        prompt="猫",
    )
    chosen = bool(context and context["enabled"] and context["variable_selector"])
    assert frames[-1]["status"] == "succeeded"
    node = finished(frames, "llm")
    assert node["inputs"] == ({"#context#": "猫"} if chosen else None)
    assert [prompt["text"] for prompt in node["process_data"]["prompts"]] == [
        "a",
        "[猫]" if chosen else "[]",
    ]


def test_prompts_without_a_text_are_left_out_and_none_is_too_few(tmp_path: Path) -> None:
    """12.1."""
    node = finished(
        frames_of(serve(tmp_path, app_of(llm("", "{{#context#}}", "x"))), prompt="a"), "llm"
    )
    assert [prompt["text"] for prompt in node["process_data"]["prompts"]] == ["x"]
    node = finished(frames_of(serve(tmp_path, app_of(llm("", "<|im_start|>"))), prompt="a"), "llm")
    assert (node["status"], node["process_data"]) == ("failed", None)
    assert node["error"].startswith("No prompt found in the LLM configuration. Please ensure")


@pytest.mark.parametrize(
    ("parameters", "settings", "expected"),
    [
        ({"prompt": mixed("p")}, {}, {"prompt": "p", **DEFAULTS}),
        (
            {"prompt": mixed("p")},
            {
                "width": "",
                "steps": None,
                "lora": "",
                "negative_prompt": "",
                "height": 0,
                "model": "",
            },
            {"prompt": "p", **DEFAULTS},
        ),
        (
            {
                "z": {"type": "constant", "value": 7},
                "steps": {"type": "constant", "value": 7},
                "prompt": {"type": "constant", "value": "{{#1001.prompt#}} {{x}}"},
            },
            {"width": "256", "negative_prompt": "ugly", "steps": 20, "seed": 5, "model": "mine"},
            {
                "z": 7,
                "steps": 20,
                "prompt": "{{#1001.prompt#}} {{x}}",
                "model": "mine",
                "lora": "",
                "width": 256,
                "height": 1024,
                "negative_prompt": "ugly",
            },
        ),
        (
            {"model": {"type": "variable", "value": [START, "prompt"]}, "prompt": mixed("p")},
            {"model": "mine"},
            {
                "model": "mine",
                "prompt": "p",
                **{name: DEFAULTS[name] for name in DEFAULTS if name != "model"},
            },
        ),
        ({}, {"height": 64}, {**DEFAULTS, "height": 64}),
    ],
)
def test_a_tool_is_given_its_parameters_and_then_its_settings_in_its_own_order(
    tmp_path: Path, parameters: dict[str, Any], settings: dict[str, Any], expected: dict[str, Any]
) -> None:
    """12.5 and 12.6."""
    node = finished(
        frames_of(serve(tmp_path, app_of(tool(settings, **parameters))), prompt="a"), "tool"
    )
    assert list(node["inputs"].items()) == list(expected.items())


def test_the_default_app_shows_the_tools_defaults() -> None:
    """12.6; what the user chose is named by the recorded app's tool neither (12.5) [C:
    stream_ok].
    """
    served = create_app(Settings(speed=None, seed=1))
    node = finished(
        frames_of(served, DEFAULT_API_KEY, prompt="a cat", model_name="dosmix_"), "tool"
    )
    expected = {"prompt": "a cat", **DEFAULTS, "model": "v1-5-pruned-emaonly"}
    assert list(node["inputs"].items()) == list(expected.items())


def test_a_tool_without_a_runtime_shows_its_parameters_alone(tmp_path: Path) -> None:
    """12.5."""
    broken = {
        **tool({"width": 64}, prompt=mixed("p")),
        "x-fake": {"error": "Failed to get tool runtime: none"},
    }
    assert finished(frames_of(serve(tmp_path, app_of(broken)), prompt="a"), "tool")["inputs"] == {
        "prompt": "p"
    }


BRACES = {
    "{{x}}": "{x}",
    "{{#a.b#}}": "{#a.b#}",
    "{{{y}}}": "{{y}}",
    "{{{{x}}}}": "{{{x}}}",
    "{{_a1}} {{x}}{{y}}": "{_a1} {x}{y}",
    "{{#a.1.b_#}}": "{#a.1.b_#}",
    "{{#histories#}}{{#query#}}": "{#histories#}{#query#}",
    "{{#context#}}": "{#context#}",
    f"{{{{{'a' * 30}}}}}": f"{{{'a' * 30}}}",
    f"{{{{{'a' * 31}}}}}": f"{{{{{'a' * 31}}}}}",
    "{{ z }}": "{{ z }}",
    "{{中文}}": "{{中文}}",
    "{{1a}}": "{{1a}}",
    "{{a-b}} {{}} {{#a#}} {{#.b#}}": "{{a-b}} {{}} {{#a#}} {{#.b#}}",
    "{x} }}{{": "{x} }}{{",
    "a<|im_end|>b <| \n |> <||>": "ab <| \n |> ",
}


@pytest.mark.parametrize(("prompt", "becomes"), BRACES.items())
def test_braces_in_a_prompt(tmp_path: Path, prompt: str, becomes: str) -> None:
    """12.7, in what the user sends as well as in the template."""
    served = serve(
        tmp_path, app_of(llm("see {{#1001.prompt#}}"), tool(prompt=mixed("{{#1002.text#}}")))
    )
    frames = frames_of(served, prompt=prompt)
    assert finished(frames, "llm")["process_data"]["prompts"][0]["text"] == f"see {becomes}"
    body = json.dumps(
        {"inputs": {"prompt": prompt}, "user": "u", "response_mode": "blocking"}
    ).encode()
    assert post(served, body).json()["data"]["status"] == "succeeded"
    if "#context#" not in prompt:
        assert fill_prompt(prompt, {}) == becomes


@pytest.mark.parametrize(
    ("value", "becomes"),
    [
        ("{{x}} {{{y}}}", "{{x}} {{{y}}}"),
        ("{{#a.b#}}", "{#a.b#}"),
        ("{{#a.b.c#}}", "{#a.b.c#}"),
        ("{{#a.1b#}} {{#query#}}", "{{#a.1b#}} {{#query#}}"),
        (f"{{{{#a.{'b' * 30}#}}}}", f"{{#a.{'b' * 30}#}}"),
        (f"{{{{#a.{'b' * 31}#}}}}", f"{{{{#a.{'b' * 31}#}}}}"),
        (f"{{{{#{'a' * 51}.b#}}}}", f"{{{{#{'a' * 51}.b#}}}}"),
        ("<|x|>", ""),
    ],
)
def test_braces_in_a_tools_parameter(tmp_path: Path, value: str, becomes: str) -> None:
    """12.7."""
    served = serve(tmp_path, app_of(tool(prompt=mixed("{{#1001.prompt#}}"))))
    assert finished(frames_of(served, prompt=value), "tool")["inputs"]["prompt"] == becomes


@given(st.text("{}#<|>.ab1_ 猫\n", max_size=40))
def test_a_text_without_a_reference_is_filled_with_itself(text: str) -> None:
    """12.7: nothing but what has the form of a reference changes, and a second time changes no more
    than the first.
    """
    if "{{" not in text and "<|" not in text:
        assert fill_prompt(text, {}) == text
        assert fill_parameter(text, {}) == text
    once = fill_prompt(text, {})
    assert len(once) <= len(text)
    assert once == text or re.search(r"\{\{[A-Za-z_#]|<\|", text)


def test_a_reference_to_no_value_fails_at_the_model(tmp_path: Path) -> None:
    """12.7."""
    node = finished(
        frames_of(serve(tmp_path, app_of(llm("{{#1001.prompt#}}{{#sys.query#}}"))), prompt="a"),
        "llm",
    )
    assert (node["error"], node["process_data"]) == ("Variable #sys.query# not found", None)
    with pytest.raises(ValueError, match=r"^Variable #a\.b\.c# not found$"):
        prompt_values([{"text": "x"}, {"text": "{{#a.b.c#}}"}], {})


OPTIONAL = {
    "variable": "hint",
    "type": "text-input",
    "required": False,
    "default": "d" * 9,
    "max_length": 9,
}


@pytest.mark.parametrize("name", ["prompt", "other"])
def test_a_required_variable_of_nothing_but_nul_fails_at_the_start(
    tmp_path: Path, name: str
) -> None:
    """12.8: accepted, and failed in its first step, in both response modes."""
    other = {"variable": "other", "type": "text-input", "required": True}
    served = serve(tmp_path, app_of(llm("x"), variables=[other]))
    inputs = {"prompt": "a", "other": "b", name: "\0\0"}
    error = f"Node 开始 run failed: Input form variable {name} is required"
    started, _, start, end = frames_of(served, **inputs)
    assert started["inputs"][name] == ""
    assert (start["status"], start["inputs"], start["outputs"]) == ("failed", None, None)
    assert (end["status"], end["error"], end["total_steps"]) == ("failed", error, 1)
    data = post(served, json.dumps({"inputs": inputs, "user": "u"}).encode()).json()["data"]
    assert (data["status"], data["error"], data["total_steps"]) == ("failed", error, 1)


@pytest.mark.parametrize(
    ("max_length", "error"),
    [(9, None), (8, "Node 开始 run failed: hint in input form must be less than 8 characters")],
)
def test_a_default_is_filled_in_and_checked_at_the_start(
    tmp_path: Path, max_length: int, error: str | None
) -> None:
    """12.8: nothing but NUL is "" in workflow_started and the default at the start node; a given
    default is judged.
    """
    served = serve(tmp_path, app_of(llm("x"), variables=[{**OPTIONAL, "max_length": max_length}]))
    frames = frames_of(served, prompt="a", hint="\0")
    assert frames[0]["inputs"]["hint"] == ""
    assert finished(frames, "start")["outputs"]["hint"] == "d" * 9
    assert frames_of(served, prompt="a")[-1]["error"] == error


@pytest.mark.parametrize(
    "reference",
    ["{{#sys.files#}}", "{{#1002.usage#}}", "{{#1002.usage.latency#}}", "{{#1002.no#}}"],
)
def test_a_tool_cannot_be_given_what_is_no_text(tmp_path: Path, reference: str) -> None:
    """12.9."""
    frames = frames_of(
        serve(tmp_path, app_of(llm("x"), tool(prompt=mixed(f"a {reference}")))), prompt="a"
    )
    assert frames[-1]["error"] == "Node T run failed: expected string or bytes-like object"
    assert finished(frames, "tool")["inputs"] is None


def test_a_model_cannot_be_given_what_is_no_text(tmp_path: Path) -> None:
    """12.9."""
    frames = frames_of(serve(tmp_path, app_of(llm("a {{#sys.files#}}"))), prompt="a")
    assert frames[-1]["error"] == "Node LLM run failed: expected string or bytes-like object"


def test_a_text_inside_an_output_can_be_named(tmp_path: Path) -> None:
    """12.9: what has a name inside an output is a value like any other."""
    served = serve(tmp_path, app_of(llm("x"), tool(prompt=mixed("{{#1002.usage.currency#}}"))))
    assert finished(frames_of(served, prompt="a"), "tool")["inputs"]["prompt"] == "USD"


@pytest.mark.parametrize(
    ("prompt", "says"),
    [
        (rb"\ud83d", r"character '\ud83d' in position 1"),
        (b"\xed\xa0\xbd", r"character '\ud83d' in position 1"),
        (b"\xed\xbf\xbf", r"character '\udfff' in position 1"),
        (b"a\xed\xa0\x80", r"character '\ud800' in position 0"),
        ("猫 !!".encode() + b"\xed\xa0\x80", r"character '\ud800' in position 3"),
        (b"it's\xed\xa0\x80\xed\xa0\x80", "characters in position 0-1"),
        (rb"\ud83d\ude00 \ude00", r"character '\ude00' in position 1"),
    ],
)
def test_a_lone_surrogate_counts_from_its_piece(tmp_path: Path, prompt: bytes, says: str) -> None:
    """12.10, for escapes and raw bytes."""
    served = serve(tmp_path, app_of(llm("prompt: {{#1001.prompt#}}")))
    data = post(served, b'{"user": "u", "inputs": {"prompt": "' + prompt + b'"}}').json()["data"]
    text = f"'utf-8' codec can't encode {says}: surrogates not allowed"
    assert data["error"] == f"Node LLM run failed: [openai_api_compatible] Error: {text}"


def test_a_lone_surrogate_in_a_later_prompt_is_not_counted(tmp_path: Path) -> None:
    """12.10: the first prompt and the answer are; the run goes on."""
    node = {**llm("first", "{{#1001.prompt#}}"), "x-fake": {"reply": "fine"}}
    assert frames_of(serve(tmp_path, app_of(node)), prompt="a\ud800")[-1]["status"] == "succeeded"


def test_variables_are_shown_with_their_keys_as_stored(tmp_path: Path) -> None:
    """12.11, in a file of one's own and in the default app's."""
    select = {
        "label": "model",
        "max_length": 48,
        "options": list(MODELS),
        "hint": "h",
        "required": False,
        "type": "select",
        "variable": "model_name",
    }
    app = app_of(llm("x"), variables=[select])
    form = call(serve(tmp_path, app), "GET", "/v1/parameters", json_headers("app-seen")).json()[
        "user_input_form"
    ]
    assert list(form[0]["paragraph"]) == ["label", "max_length", "required", "type", "variable"]
    assert list(form[1]["select"].items()) == list(select.items())
    default = create_app(Settings(workflow=tmp_path / "seen.yml", speed=None))
    shown = call(default, "GET", "/v1/parameters", json_headers(DEFAULT_API_KEY)).json()[
        "user_input_form"
    ]
    assert list(shown[1]["select"].items()) == list(select.items())
    assert list(shown[0]["paragraph"])[:5] == [
        "label",
        "max_length",
        "required",
        "type",
        "variable",
    ]


def test_a_model_without_counts_counts_its_tokens(tmp_path: Path) -> None:
    """12.11: the same text has the same count, and a longer one has more."""
    served = serve(tmp_path, app_of(llm("{{#1001.prompt#}}")))
    usage = [
        finished(frames_of(served, prompt=text), "llm")["outputs"]["usage"]
        for text in ("cat", "cat", "猫" * 20)
    ]
    assert (
        usage[0]["prompt_tokens"] == usage[1]["prompt_tokens"] == usage[0]["completion_tokens"] == 1
    )
    assert usage[2]["total_tokens"] == 30


# 12.13: files
# --------------------------------------------------------------------------------------------------

UPLOADS = ROOT / "recordings/apps/filesin.yml"
ANY_ID = "11111111-2222-4333-8444-555555555555"
SERVER_ERROR = {
    "code": "internal_server_error",
    "message": (
        "The server encountered an internal error and was unable to complete your request. "
        "Either the server is overloaded or there is an error in the application."
    ),
    "status": 500,
}


def invalid(message: str) -> dict[str, Any]:
    return {"code": "invalid_param", "message": message, "status": 400}


def unchecked(reason: str) -> dict[str, Any]:
    return invalid(f"Error checking URL: {reason}")


def local(upload_file_id: Any) -> dict[str, Any]:
    return {"type": "image", "transfer_method": "local_file", "upload_file_id": upload_file_id}


def remote(url: Any) -> dict[str, Any]:
    return {"type": "image", "transfer_method": "remote_url", "url": url}


@pytest.fixture(scope="module")
def uploads() -> Any:
    """A host with an app that takes pictures, under ``app-seen``."""
    return create_app(
        Settings(apps=(("app-seen", str(UPLOADS)), ("app-chat", "chat")), speed=None, seed=1)
    )


NOT_TEXT = "1 validation error for FileVar\nrelated_id\n  str type expected (type=type_error.str)"
WRONG_FILES: dict[str, tuple[list[Any], dict[str, Any]]] = {
    "id abc": ([local("abc")], SERVER_ERROR),
    "id 5": ([local(5)], SERVER_ERROR),
    "id 1.5": ([local(1.5)], SERVER_ERROR),
    "id true": ([local(True)], SERVER_ERROR),
    "id one digit short": ([local(ANY_ID[:-1])], SERVER_ERROR),
    "id in one brace": ([local("{" + ANY_ID)], SERVER_ERROR),
    "id with a blank": ([local(f" {ANY_ID}")], SERVER_ERROR),
    "id with a line feed": ([local(f"{ANY_ID}\n")], SERVER_ERROR),
    "id a list": ([local(["a"])], invalid(NOT_TEXT)),
    "id an object, after one that is not known": (
        [local(ANY_ID), local({"a": 1})],
        invalid(NOT_TEXT),
    ),
    "id with NUL": (
        [local("a\0")],
        invalid("A string literal cannot contain NUL (0x00) characters."),
    ),
    "id a surrogate": (
        [local("a\ud800")],
        invalid(
            r"'utf-8' codec can't encode character '\ud800' in position 1: surrogates not allowed"
        ),
    ),
    "id not known": ([local(ANY_ID)], invalid("Invalid upload file")),
    "id not known, spelt otherwise": (
        [local("{" + ANY_ID.replace("-", "") + "}")],
        invalid("Invalid upload file"),
    ),
    "no id": ([local(0)], invalid("Missing file upload_file_id")),
    "url 5": ([remote(5)], SERVER_ERROR),
    "url true": ([remote(True)], SERVER_ERROR),
    "url a list": ([remote(["http://a"])], SERVER_ERROR),
    "url an object": ([remote({"a": 1})], SERVER_ERROR),
    "url 0": ([remote(0)], invalid("Missing file url")),
    "url ftp": ([remote("ftp://a/b.png")], invalid("Invalid file url")),
    "url without a scheme": (
        [remote("httpx")],
        unchecked("Invalid URL 'httpx': No scheme supplied. Perhaps you meant https://httpx?"),
    ),
    "url without a host": (
        [remote("http://")],
        unchecked("Invalid URL 'http://': No host supplied"),
    ),
    "url with one slash": (
        [remote("https:/a.b/c")],
        unchecked("Invalid URL 'https:/a.b/c': No host supplied"),
    ),
    "url of another scheme": (
        [remote("httpx://a/b'c")],
        unchecked('No connection adapters were found for "httpx://a/b\'c"'),
    ),
    "url with a word for its port": (
        [remote("http://a:b/")],
        unchecked("Failed to parse: http://a:b/"),
    ),
    "url with half an address": (
        [remote("http://[::1/")],
        unchecked("Failed to parse: http://[::1/"),
    ),
    "url with a wild card": ([remote("http://*.a/")], unchecked("URL has an invalid label.")),
    "url gone": ([remote("http://127.0.0.1:1/a.png")], invalid("URL does not exist.")),
    "too many, some of them unknown": (
        [local("abc")] * 4,
        invalid("Number of image files exceeds the maximum limit 3"),
    ),
    "a tool's file": (
        [{"type": "image", "transfer_method": "tool_file"}],
        invalid("Invalid transfer method: tool_file"),
    ),
    "a type that is a list": (
        [{"type": ["image"]}],
        invalid("No matching enum found for value '['image']'"),
    ),
    "a method that is a number": (
        [{"type": "image", "transfer_method": 5}],
        invalid("No matching enum found for value '5'"),
    ),
}


@pytest.mark.parametrize("name", WRONG_FILES)
@pytest.mark.parametrize("mode", ["blocking", "streaming"])
def test_wrong_files(uploads: Any, name: str, mode: str) -> None:
    """12.13, whatever else is wrong with the inputs."""
    files, refusal = WRONG_FILES[name]
    answer = post(
        uploads,
        json.dumps({"inputs": {}, "files": files, "user": "u", "response_mode": mode}).encode(),
    )
    assert (answer.status, answer.body) == (refusal["status"], json.dumps(refusal).encode() + b"\n")


@pytest.mark.parametrize(
    "address", ["https://a.test/cat", "http://a.test", "https://u:p@a.test:8080/x.txt?y#z"]
)
def test_a_url_may_lead_to_anything(uploads: Any, address: str) -> None:
    """12.13: what answers 200 is taken, whatever it is."""
    body = {"inputs": {"prompt": "a"}, "files": [remote(address)], "user": "u"}
    assert post(uploads, json.dumps(body).encode()).json()["data"]["status"] == "succeeded"


# 12.14: names of files
# -----------------------------------------------------------------------------------------------


def upload(served: Any, disposition: bytes, content_type: bytes = b"image/png") -> AsgiAnswer:
    head = (
        b"--x\r\nContent-Disposition: form-data; "
        + disposition
        + b"\r\nContent-Type: "
        + content_type
    )
    headers = {
        "Authorization": "Bearer app-seen",
        "Content-Type": "multipart/form-data; boundary=x",
    }
    return call(served, "POST", "/v1/files/upload", headers, head + b"\r\n\r\ndata\r\n--x--\r\n")


@pytest.mark.parametrize(
    ("disposition", "name", "extension"),
    [
        (b"name=\"file\"; filename*=UTF-8''p%C3%A4.png", "pä.png", "png"),
        (b'name="file"; filename="x.exe"; filename*=utf-8\'\'%E5%9B%BE.jpg', "图.jpg", "jpg"),
        (rb'name="file"; filename="C:\a\b.png"', r"C:\a\b.png", "png"),
        (b'name="file"; filename="/tmp/../b.png"', "/tmp/../b.png", "png"),
        (b'name=file; FILENAME="a\\"b.png"', 'a"b.png', "png"),
        (b'name="file"; filename="' + b"n" * 251 + b'.png"', "n" * 251 + ".png", "png"),
        (b'name="file"; filename*0="a"; filename*1="b.png"', "ab.png", "png"),
    ],
)
def test_a_file_keeps_its_name(uploads: Any, disposition: bytes, name: str, extension: str) -> None:
    """12.14, up to 255 characters."""
    answer = upload(uploads, disposition)
    assert answer.status == 201, answer.body
    assert (answer.json()["name"], answer.json()["extension"]) == (name, extension)


@pytest.mark.parametrize(
    ("name", "content_type", "status", "body"),
    [
        (
            "n" * 252 + ".png",
            b"image/png",
            500,
            {"message": "Internal Server Error", "code": "unknown"},
        ),
        (
            "n" * 300 + ".png",
            b"image/png",
            500,
            {"message": "Internal Server Error", "code": "unknown"},
        ),
        (
            "n.png",
            b"image/" + b"p" * 250,
            500,
            {"message": "Internal Server Error", "code": "unknown"},
        ),
        ("n" * 300 + ".exe", b"image/png", 415, None),
        (
            "a\0.png",
            b"image/png",
            400,
            invalid("A string literal cannot contain NUL (0x00) characters."),
        ),
    ],
)
def test_a_name_that_the_host_cannot_keep(
    uploads: Any, name: str, content_type: bytes, status: int, body: dict[str, Any] | None
) -> None:
    """12.14, from 256 characters on."""
    answer = upload(uploads, f'name="file"; filename="{name}"'.encode(), content_type)
    assert answer.status == status
    assert body is None or answer.body == json.dumps(body).encode() + b"\n"


# 12.17: routes
# --------------------------------------------------------------------------------------------------

NOT_CHAT = "not_chat_app"
ROUTES = [
    ("POST", "/v1/chat-messages/x/stop", {"user": "u"}, 400, NOT_CHAT),
    ("POST", "/v1/chat-messages/x/stop", {}, 400, "Arg user must be provided."),
    ("POST", "/v1/completion-messages/x/stop", {"user": "u"}, 400, "app_unavailable"),
    ("POST", "/v1/completion-messages/x/stop", {}, 400, "Arg user must be provided."),
    ("DELETE", f"/v1/conversations/{ANY_ID}", {}, 400, NOT_CHAT),
    ("POST", f"/v1/conversations/{ANY_ID}/name", {}, 400, NOT_CHAT),
    ("GET", f"/v1/messages/{ANY_ID}/suggested", None, 400, NOT_CHAT),
    ("POST", f"/v1/messages/{ANY_ID}/feedbacks", {}, 404, "Message Not Exists."),
    (
        "POST",
        f"/v1/messages/{ANY_ID}/feedbacks",
        {"rating": None, "user": "u"},
        404,
        "Message Not Exists.",
    ),
    (
        "POST",
        f"/v1/messages/{ANY_ID}/feedbacks",
        {"rating": "foo"},
        400,
        "foo is not a valid choice",
    ),
    ("POST", "/v1/text-to-audio", {}, 400, "Missing required parameter in the JSON body"),
    ("POST", "/v1/text-to-audio", {"text": None}, 400, "Must not be null!"),
    ("POST", "/v1/text-to-audio", {"text": "a", "streaming": None}, 400, "Must not be null!"),
    ("POST", "/v1/text-to-audio", {"text": 5, "voice": None}, 400, "TTS is not enabled"),
    ("GET", f"/v1/datasets/{ANY_ID}/documents", None, 401, "Access token is invalid"),
    ("POST", f"/v1/datasets/{ANY_ID}/document/create_by_text", {}, 401, "Access token is invalid"),
    ("POST", f"/v1/datasets/{ANY_ID}/document/create_by_file", {}, 401, "Access token is invalid"),
    ("DELETE", f"/v1/datasets/{ANY_ID}/documents/{ANY_ID}", None, 401, "Access token is invalid"),
    (
        "POST",
        f"/v1/datasets/{ANY_ID}/documents/{ANY_ID}/update_by_text",
        {},
        401,
        "Access token is invalid",
    ),
    (
        "POST",
        f"/v1/datasets/{ANY_ID}/documents/{ANY_ID}/update_by_file",
        {},
        401,
        "Access token is invalid",
    ),
    (
        "GET",
        f"/v1/datasets/{ANY_ID}/documents/batch/indexing-status",
        None,
        401,
        "Access token is invalid",
    ),
    (
        "GET",
        f"/v1/datasets/{ANY_ID}/documents/{ANY_ID}/segments",
        None,
        401,
        "Access token is invalid",
    ),
    (
        "POST",
        f"/v1/datasets/{ANY_ID}/documents/{ANY_ID}/segments",
        {},
        401,
        "Access token is invalid",
    ),
    (
        "POST",
        f"/v1/datasets/{ANY_ID}/documents/{ANY_ID}/segments/{ANY_ID}",
        {},
        401,
        "Access token is invalid",
    ),
    (
        "DELETE",
        f"/v1/datasets/{ANY_ID}/documents/{ANY_ID}/segments/{ANY_ID}",
        None,
        401,
        "Access token is invalid",
    ),
]


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route[0]} {route[1]} {route[2]}")
def test_routes_for_other_apps(
    uploads: Any, route: tuple[str, str, dict[str, Any] | None, int, str]
) -> None:
    """12.17: refused for a workflow's key, and by other methods."""
    method, path, body, status, says = route
    answer = call(
        uploads,
        method,
        path,
        json_headers("app-seen"),
        b"" if body is None else json.dumps(body).encode(),
    )
    assert (answer.status, says in answer.json().values()) == (status, True), answer.body
    assert call(uploads, "PUT", path, json_headers("app-seen")).status == 405
    options = call(uploads, "OPTIONS", path)
    assert (options.status, options.body, method in (options.header("allow") or "")) == (
        200,
        b"",
        True,
    )


def test_text_to_audio_names_the_field() -> None:
    """12.17, to the byte."""
    served = create_app(Settings(speed=None))
    answer = call(
        served, "POST", "/v1/text-to-audio", json_headers(DEFAULT_API_KEY), b'{"user": "u"}'
    )
    text = {
        "code": "invalid_param",
        "message": "Missing required parameter in the JSON body",
        "params": "text",
    }
    assert (answer.status, answer.body) == (400, json.dumps(text).encode() + b"\n")


def test_a_chat_apps_stop_succeeds(uploads: Any) -> None:
    """12.17, by the source."""
    answer = call(
        uploads, "POST", "/v1/chat-messages/x/stop", json_headers("app-chat"), b'{"user": "u"}'
    )
    assert (answer.status, answer.json()) == (200, {"result": "success"})


@pytest.mark.parametrize(
    "path", ["/v1/conversations/x", "/v1/chat-messages//stop", "/v1/datasets/x/documents"]
)
def test_what_is_no_uuid_is_no_route(uploads: Any, path: str) -> None:
    assert call(uploads, "POST", path, json_headers("app-seen"), b"{}").status in (404, 405)
