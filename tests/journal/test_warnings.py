"""What the host lets pass and the document forbids is said, with its place in the document; nothing
else is.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from dify_wire.text_file import bundled
from fake_server.settings import DEFAULT_API_KEY
from tests.admin.calling import LOCAL, host, requests_of, run
from tests.asgi import call, json_headers, run_body

APP = """
app: {name: cats, mode: workflow}
workflow:
  graph:
    nodes:
      - id: start
        data:
          type: start
          title: Start
          variables:
            - {variable: breed, label: Breed, type: paragraph, required: false}
      - id: end
        data:
          type: end
          title: End
          outputs: [{variable: breed, value_selector: [start, breed]}]
    edges:
      - {source: start, target: end}
"""

GOOD: dict[str, Any] = {
    "inputs": {"prompt": "a cat"},
    "response_mode": "blocking",
    "user": "alg123",
}
REQUEST = "#/components/schemas/RunRequest"
INPUTS = "#/components/schemas/Inputs"
RUN = "#/paths/~1v1~1workflows~1run/post"


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in GOOD.items() if key != name}


def warned(body: dict[str, Any], query: str = "", **headers: str) -> list[str]:
    app = host()
    answer = run(app, json.dumps(body).encode(), query, **headers)
    assert answer.status == 200, answer.body
    [entry] = requests_of(app)
    found: list[str] = entry["warnings"]
    return found


@pytest.mark.parametrize(
    ("body", "warning"),
    [
        (
            without("response_mode"),
            f'the body: "response_mode" is a required property (the document: {REQUEST}/required)',
        ),
        (
            GOOD | {"user": 7},
            'user: 7 is not of type "string" (the document: #/components/schemas/User/type)',
        ),
        (
            GOOD | {"files": []},
            (
                "the key 'files' is sent; the document has inputs, response_mode, user "
                f"({REQUEST}/properties)"
            ),
        ),
        (
            GOOD | {"inputs": {"prompt": "a", "steps": 20}},
            f"the input 'steps' is sent; the document has prompt, model_name ({INPUTS}/properties)",
        ),
    ],
)
def test_a_body_that_the_document_forbids(body: dict[str, Any], warning: str) -> None:
    assert warned(body) == [warning]


def test_a_model_that_only_the_host_takes() -> None:
    """An empty one counts as left out there; of the document's names it is none."""
    [warning] = warned(GOOD | {"inputs": {"prompt": "a", "model_name": ""}})
    assert warning.startswith('inputs.model_name: "" is not one of "chilloutmix_NiPrunedFp32Fix"')
    assert warning.endswith("(the document: #/components/schemas/ModelName/enum)")


def test_a_query_where_the_document_has_none() -> None:
    assert warned(GOOD, "?debug=1&debug=2") == [
        f"the query parameter 'debug' is sent; the document has none ({RUN}/parameters)"
    ]


def test_a_content_type_that_the_document_does_not_have() -> None:
    assert warned(GOOD, Content_Type="application/vnd.api+json") == [
        (
            "the content type is 'application/vnd.api+json'; the document has application/json "
            f"({RUN}/requestBody/content)"
        )
    ]


def test_a_request_as_the_document_has_it_is_not_warned_of() -> None:
    assert warned(GOOD) == []
    assert warned(GOOD, Content_Type="application/json; charset=utf-8") == []


def test_what_the_host_refuses_is_not_warned_of() -> None:
    """Its answer says what is wrong."""
    app = host()
    assert run(app, json.dumps(without("inputs")).encode(), "?x=1").status == 400
    assert requests_of(app)[0]["warnings"] == []


def test_an_unknown_parameter_of_an_image_url() -> None:
    app = host()
    url = run(app).json()["data"]["outputs"]["files"][0]["url"]
    call(app, "GET", url, LOCAL)
    call(app, "GET", f"{url}&size=small", LOCAL)
    place = "#/paths/~1files~1tools~1{file_id}.{extension}/get/parameters"
    assert [entry["warnings"] for entry in requests_of(app)[1:]] == [
        [],
        [f"the query parameter 'size' is sent; the document has timestamp, nonce, sign ({place})"],
    ]


def test_an_operation_that_the_document_does_not_have_is_not_forbidden_by_it() -> None:
    app = host()
    call(app, "GET", "/v1/parameters?x=1", {**LOCAL, "Authorization": f"Bearer {DEFAULT_API_KEY}"})
    assert requests_of(app)[0]["warnings"] == []


def test_of_another_app_its_own_start_variables_say_which_inputs_there_are(tmp_path: Path) -> None:
    path = tmp_path / "cats.yml"
    path.write_text(APP)
    app = host(apps=(("app-cats", str(path)),))
    body = json.dumps(GOOD | {"inputs": {"breed": "x", "prompt": "a"}, "user": 7}).encode()
    assert call(app, "POST", "/v1/workflows/run", json_headers("app-cats"), body).status == 200
    assert requests_of(app)[0]["warnings"] == [
        'user: 7 is not of type "string" (the document: #/components/schemas/User/type)',
        "the input 'prompt' is sent; the app 'cats' has breed",
    ]


def test_a_long_value_is_cut_in_the_warning() -> None:
    [warning] = warned(GOOD | {"x" * 10_000: 1})
    assert len(warning) < 400


def test_another_spec_is_used_without_its_overlays(tmp_path: Path) -> None:
    """A user's own document replaces the vendor's."""
    document = yaml.safe_load(bundled("openapi.yaml").read_text("utf-8"))
    document["components"]["schemas"]["User"]["pattern"] = "^zk-"
    path = tmp_path / "openapi.yaml"
    path.write_text(json.dumps(document))
    app = host(spec=path)
    assert run(app, run_body(user="alg123")).status == 200
    [warning] = requests_of(app)[0]["warnings"]
    assert warning.endswith("(the document: #/components/schemas/User/pattern)")
