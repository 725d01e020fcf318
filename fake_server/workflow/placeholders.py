"""Values for outputs that only something real could make: of a declared type, or an image."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fake_server.images import ImageRecord
from fake_server.runs.events import FileRef
from fake_server.runs.random_values import RandomValues
from fake_server.workflow.behaviour import FakeFile
from fake_server.workflow.expressions import text_of

MAX_IMAGE_NUMBER = 4096
"""The most pixels a side, and steps, of an image."""

IMAGE_NUMBERS = {"steps": 10, "width": 1024, "height": 1024}
"""The numeric settings of Stable Diffusion with their defaults."""

_PROMPTS = ("prompt", "query", "text", "input", "content", "instruction", "description")
"""The parameters that may say what an image shows."""

_RECORD_CHARACTERS = 6000
"""The part of a text that an image can show; no more of it is stored."""

_DEEPEST = 8
_MOST_PROPERTIES = 100

_OF_TYPE: Mapping[str, Any] = {
    "number": 1,
    "integer": 1,
    "float": 1.0,
    "boolean": True,
    "bool": True,
    "object": {},
    "file": None,
    "array": [],
    "array[file]": [],
    "null": None,
    "none": None,
}


def sample_of_type(kind: str, name: str, children: Any = None, depth: int = 0) -> Any:
    """A value of the type ``kind`` of a node's output: a string is the ``name`` of the output, an
    array has one entry.
    """
    kind = kind.lower()
    if kind == "object" and isinstance(children, Mapping) and depth < _DEEPEST:
        return {
            str(key): sample_of_type(
                str(child.get("type", "string")), str(key), child.get("children"), depth + 1
            )
            for key, child in list(children.items())[:_MOST_PROPERTIES]
            if isinstance(child, Mapping)
        }
    if kind in _OF_TYPE:
        value = _OF_TYPE[kind]
        return value.copy() if isinstance(value, dict | list) else value
    if kind.startswith("array[") and kind.endswith("]"):
        return [sample_of_type(kind[6:-1], name, children, depth + 1)]
    return name


def sample_of_schema(schema: Mapping[str, Any], name: str = "text", depth: int = 0) -> Any:
    """A value that a JSON schema of a model's structured output allows."""
    if depth > _DEEPEST:
        return None
    if options := schema.get("enum"):
        return options[0]
    if "const" in schema:
        return schema["const"]
    kind = schema.get("type")
    kind = kind[0] if isinstance(kind, list) and kind else kind
    if kind == "object" or (kind is None and "properties" in schema):
        properties = schema.get("properties")
        return {
            str(key): sample_of_schema(one, str(key), depth + 1)
            for key, one in list((properties or {}).items())[:_MOST_PROPERTIES]
            if isinstance(one, Mapping)
        }
    if kind == "array":
        items = schema.get("items")
        return [sample_of_schema(items, name, depth + 1)] if isinstance(items, Mapping) else []
    return sample_of_type(str(kind or "string"), name)


def drawn_file(
    draw: RandomValues, title: str, values: Mapping[str, Any], wanted: FakeFile
) -> FileRef | None:
    """A file that a node gives, an image of what ``values`` say, else of ``title``; None for sizes
    and steps that no tool draws.
    """
    prompt = title
    for name in _PROMPTS:
        if values.get(name):
            prompt = text_of(values[name]) or title
            break
    numbers: dict[str, int] = {}
    try:
        for name, default in IMAGE_NUMBERS.items():
            numbers[name] = int(values.get(name) or default)
        if not 1 <= min(numbers.values()) <= max(numbers.values()) <= MAX_IMAGE_NUMBER:
            raise ValueError
    except (ValueError, TypeError, OverflowError):  # a 422 of Stable Diffusion
        if "prompt" in values:
            return None
        numbers = dict(IMAGE_NUMBERS)
    record = ImageRecord(
        prompt=prompt[:_RECORD_CHARACTERS],
        model=text_of(values.get("model"))[:_RECORD_CHARACTERS],
        seed=draw.getrandbits(32),
        negative_prompt=text_of(values.get("negative_prompt"))[:_RECORD_CHARACTERS],
        **numbers,
    )
    return FileRef(draw.uuid(), record, wanted.type, wanted.extension, wanted.mime_type, wanted.url)
