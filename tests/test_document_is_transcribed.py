"""The vendor's document is in ``openapi.yaml``, whole: every line has a place, and says there what
it says.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from dify_wire.overlay import copied
from dify_wire.spec import load
from tests.each import each

ROOT = Path(__file__).resolve().parent.parent
LINES = (ROOT / "docs/host-document.txt").read_text("utf-8").splitlines()
SPEC = load(ROOT / "openapi.yaml", [])

PAGE_SIZE = {1, 2}  # "3.6 KiB": the size that the vendor's page shows of itself; it says nothing
BRACKETS = {n for n, line in enumerate(LINES, 1) if re.fullmatch(r"[\[\]{}', ]*", line)}
REQUEST = range(36, 44)
RESPONSE = range(45, 75)
ROW = re.compile(r"(\w+) \| (ture|true|fasle|false) \| (\w+) \| (.*) \|")
BULLET = re.compile(r"- (\w+) \((\w+)\) Required")


def line(number: int) -> str:
    return LINES[number - 1]


def elements(value: Any, place: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every mapping of the spec with its place, values of examples left out."""
    if isinstance(value, dict):
        yield place, value
        for key, child in value.items():
            if key not in ("examples", "example", "value") or isinstance(child, dict):
                yield from elements(child, f"{place}/{key}")
    elif isinstance(value, list):
        for child in value:
            yield from elements(child, f"{place}/*")


def texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, child in value.items():
            yield key
            yield from texts(child)
    elif isinstance(value, list):
        for child in value:
            yield from texts(child)


def resolved(spec: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """A schema with what it refers to; its own words win."""
    if "$ref" not in schema:
        return schema
    name = schema["$ref"].rsplit("/", 1)[1]
    return {
        **spec["components"]["schemas"][name],
        **{key: value for key, value in schema.items() if key != "$ref"},
    }


def request_schemas(spec: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The schema of the request, and that of its ``inputs``."""
    operation = spec["paths"]["/v1/workflows/run"]["post"]
    run = resolved(spec, operation["requestBody"]["content"]["application/json"]["schema"])
    return run, resolved(spec, run["properties"]["inputs"])


def places_by_line(spec: dict[str, Any]) -> dict[int, list[tuple[str, dict[str, Any]]]]:
    found: dict[int, list[tuple[str, dict[str, Any]]]] = {}
    for place, element in elements(spec):
        for number in element.get("x-document-lines", ()):
            found.setdefault(number, []).append((place, element))
    return found


def problems(spec: dict[str, Any]) -> list[str]:
    """What ``spec`` leaves out of the document, or says otherwise."""
    return [*missing_lines(spec), *wrong_words(spec), *wrong_rules(spec), *wrong_examples(spec)]


def missing_lines(spec: dict[str, Any]) -> Iterator[str]:
    found = places_by_line(spec)
    for number, text in enumerate(LINES, 1):
        if text.strip() and number not in found:
            yield f"line {number} is nowhere: {text}"
    yield from (
        f"line {number} is not in the document" for number in found if not 1 <= number <= len(LINES)
    )


def wrong_words(spec: dict[str, Any]) -> Iterator[str]:
    """Prose, tables and the curl call stand word for word in an element that points to their
    line.
    """
    found = places_by_line(spec)
    for number in set(range(1, 45)) | {75}:
        words = re.sub(r"^(- |1\. )", "", line(number)).strip()
        if number in PAGE_SIZE | BRACKETS:
            continue
        if not any(
            words in text for _, element in found.get(number, ()) for text in texts(element)
        ):
            yield f"line {number} is not said where it is pointed to: {words}"


def wrong_rules(spec: dict[str, Any]) -> Iterator[str]:
    """Names, types, required-ness, enumerations and the default, as list and tables give them."""
    run, inputs = request_schemas(spec)
    for number in range(17, 32):
        if bullet := BULLET.match(line(number)):
            yield from wrong_field(spec, run, bullet[1], required=True, kind=bullet[2])
        if row := ROW.match(line(number)):
            owner = run if number < 27 else inputs
            yield from wrong_field(
                spec, owner, row[1], required=row[2] in ("ture", "true"), kind=row[3]
            )
    modes = [line(number).split()[1] for number in (19, 20)]
    if resolved(spec, run["properties"]["response_mode"]).get("enum") != modes:
        yield f"response_mode is not one of {modes}"
    *models, default = re.findall(r"\[([^\]]+)\]", line(31))
    model = resolved(spec, inputs["properties"]["model_name"])
    if model.get("enum") != models or model.get("default") != default:
        yield f"model_name is not one of {models} with the default {default}"


def wrong_field(
    spec: dict[str, Any], owner: dict[str, Any], name: str, *, required: bool, kind: str
) -> Iterator[str]:
    schema = resolved(spec, owner["properties"].get(name, {}))
    if schema.get("type") != {"json": "object"}.get(kind, kind):
        yield f"{name} is not of type {kind}"
    if (name in owner["required"]) is not required:
        yield f"{name} is required: {not required}"


def wrong_examples(spec: dict[str, Any]) -> Iterator[str]:
    operation = spec["paths"]["/v1/workflows/run"]["post"]
    request = json.loads(
        "\n".join(line(number) for number in REQUEST).removeprefix("--data-raw '").removesuffix("'")
    )
    if (
        operation["requestBody"]["content"]["application/json"]["examples"]["document"]["value"]
        != request
    ):
        yield "the example request differs"
    answer = json.loads("\n".join(line(number) for number in RESPONSE))
    if (
        operation["responses"]["200"]["content"]["application/json"]["examples"]["document"][
            "value"
        ]
        != answer
    ):
        yield "the example answer differs"
    found = places_by_line(spec)
    for number in RESPONSE:
        if member := re.fullmatch(r'"(\w+)": (.*?),?', line(number)):
            places = found.get(number, [])
            if not any(
                is_property(spec, place, element, *member.groups()) for place, element in places
            ):
                yield f"line {number}: no property {member[1]} with this example"


def is_property(
    spec: dict[str, Any], place: str, element: dict[str, Any], name: str, value: str
) -> bool:
    """Whether ``element`` is the property ``name``, or the schema it refers to, and gives a scalar
    as its example.
    """
    reference = {"$ref": "#" + place}
    named = place.endswith(f"/properties/{name}") or any(
        other.endswith("/properties") and element.get(name) == reference
        for other, element in elements(spec)
    )
    return named and (value in ("{", "[") or json.loads(value) in element.get("examples", ()))


def test_every_line_of_the_document_is_transcribed() -> None:
    """Nothing of the document is left out, and nothing it says is said otherwise."""
    assert problems(SPEC) == []


@pytest.mark.slow
@each("number", [n for n, text in enumerate(LINES, 1) if text.strip()])
def test_a_lost_line_is_noticed(number: int) -> None:
    """A spec that no longer points to a line fails, whichever line it is."""
    spec = copied(SPEC)
    for _, element in elements(spec):
        if number in element.get("x-document-lines", ()):
            element["x-document-lines"].remove(number)
    assert any(problem.startswith(f"line {number} is nowhere") for problem in problems(spec))


@pytest.mark.parametrize("number", sorted({*range(3, 44), 75} - PAGE_SIZE - BRACKETS))
def test_lost_words_are_noticed(number: int) -> None:
    """A spec that keeps the pointer and loses the words fails, whichever line they are from."""
    words = re.sub(r"^(- |1\. )", "", line(number)).strip()
    spec = without(SPEC, words)
    assert any(problem.startswith(f"line {number} is not said") for problem in wrong_words(spec))


def without(value: Any, words: str) -> Any:
    if isinstance(value, str):
        return value.replace(words, "")
    if isinstance(value, dict):
        return {key: without(child, words) for key, child in value.items()}
    return [without(child, words) for child in value] if isinstance(value, list) else value


@pytest.mark.parametrize(
    ("schema", "change"),
    [
        ("RunRequest", {"required": ["inputs", "user"]}),
        ("Inputs", {"required": ["prompt", "model_name"]}),
        ("ResponseMode", {"enum": ["blocking", "streaming"]}),
        ("ModelName", {"enum": ["dosmix_"]}),
        ("User", {"type": "integer"}),
    ],
)
def test_a_changed_rule_is_noticed(schema: str, change: dict[str, Any]) -> None:
    """Required-ness, enumerations and types are compared, not only words."""
    spec = copied(SPEC)
    spec["components"]["schemas"][schema].update(change)
    assert list(wrong_rules(spec)) != []


@pytest.mark.parametrize("number", [n for n in RESPONSE if '"' in line(n)])
def test_a_lost_field_of_the_answer_is_noticed(number: int) -> None:
    """Each field of the example answer has its property, with the example's value."""
    name = re.findall(r'"(\w+)"', line(number))[0]
    spec = copied(SPEC)
    for place, element in list(elements(spec)):
        if (
            place.endswith("/properties")
            and name in element
            and "RunRequest" not in place
            and "Inputs" not in place
        ):
            del element[name]
    assert any(problem.startswith(f"line {number}:") for problem in wrong_examples(spec))


def test_the_calls_address_method_and_headers_are_the_documents() -> None:
    """Path, method, bearer scheme and content type come from the document's curl call."""
    url = urlsplit(re.findall(r"'(.*)'", line(33))[0])
    item = SPEC["paths"][url.path]
    operation = item[line(14).lower()]
    assert item["x-document-url"] == url.geturl()
    assert [*operation["requestBody"]["content"]] == [
        re.findall(r"Content-Type: (.*?)'", line(35))[0]
    ]
    assert operation["security"] == [{"bearer": []}]
    scheme = SPEC["components"]["securitySchemes"]["bearer"]
    assert (scheme["type"], scheme["scheme"]) == ("http", line(10).split()[0].lower())


def test_the_pictures_address_is_read_from_the_example() -> None:
    """The signed address of the example fits the path, and its parameters are declared in its
    order.
    """
    url = urlsplit(json.loads("{" + line(59).rstrip(",") + "}")["url"])
    (path,) = [path for path in SPEC["paths"] if path.startswith("/files/")]
    parameters = SPEC["paths"][path]["get"]["parameters"]
    filled = path
    for parameter in parameters:
        filled = filled.replace("{" + parameter["name"] + "}", parameter["example"])
    assert filled == url.path
    sent = {
        parameter["name"]: parameter["example"]
        for parameter in parameters
        if parameter["in"] == "query"
    }
    assert list(sent.items()) == parse_qsl(url.query)


def test_no_tool_is_led_to_the_vendors_host() -> None:
    """The vendor's address stands in descriptions and in x-document-url, nowhere else."""
    host = urlsplit(re.findall(r"'(.*)'", line(33))[0]).netloc
    assert [server["url"] for server in SPEC["servers"]] == ["http://127.0.0.1:6060"]
    for place, element in elements(SPEC):
        for key, value in element.items():
            if isinstance(value, str) and host in value:
                assert key in ("description", "x-document-url"), place
