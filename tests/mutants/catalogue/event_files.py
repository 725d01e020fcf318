"""The file objects in a stream: that they are there, are the same everywhere, and are signed
anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from tests.mutants.edits import (
    Edit,
    Event,
    change,
    combined,
    edit_events,
    of_node,
    other_uuid,
    put,
    replace_events,
)
from tests.mutants.mutant import Area

AREA = Area("files in a stream")
_END = "workflow_finished"


def _event(name: str, breaks: str, killers: str, events: str, edit: Edit) -> None:
    """An edit of each event of these names."""
    AREA.add(name, breaks, killers, edit_events(events, edit))


_Change = Callable[[Event], Iterable[Event]]


def _order(name: str, breaks: str, killers: str, make: Callable[[], _Change]) -> None:
    AREA.add(name, breaks, killers, replace_events(make))


_SIGN = "&sign=" + "A" * 43 + "="


def _with_url(fn: Callable[[str], str]) -> Edit:
    """Each URL of a file, wherever it stands, as ``fn`` makes it."""

    def edit(value: Any) -> Any:
        if isinstance(value, list):
            return [edit(one) for one in value]
        if isinstance(value, dict):
            return {key: fn(one) if key == "url" else edit(one) for key, one in value.items()}
        return value

    return edit


def _same_signature() -> _Change:
    """Every URL is the first one."""
    first: list[str] = []

    def keep(url: str) -> str:
        first.append(url)
        return first[0]

    return lambda event: [_with_url(keep)(event)]


def _without_key(value: Any, key: str) -> Any:
    if isinstance(value, list):
        return [_without_key(one, key) for one in value]
    if isinstance(value, dict):
        return {name: _without_key(one, key) for name, one in value.items() if name != key}
    return value


def _other_file(value: Any) -> Any:
    """Every file another one, in its id and in its URL alike."""
    if isinstance(value, list):
        return [_other_file(one) for one in value]
    if isinstance(value, dict) and "related_id" in value:
        other = other_uuid(value["related_id"])
        return {
            **value,
            "related_id": other,
            "url": value["url"].replace(value["related_id"], other),
        }
    return (
        {key: _other_file(one) for key, one in value.items()} if isinstance(value, dict) else value
    )


def _at_the_end(edit: Edit) -> Edit:
    """An edit of the events of the end node and the run."""
    return lambda event: (
        edit(event) if event["event"] == _END or event["data"].get("node_type") == "end" else event
    )


def _of_another_tenant(value: Any) -> Any:
    if isinstance(value, list):
        return [_of_another_tenant(one) for one in value]
    if isinstance(value, dict):
        return {
            key: other_uuid(one) if key == "tenant_id" else _of_another_tenant(one)
            for key, one in value.items()
        }
    return value


# fmt: off
_event("stream_files_lost", "workflow_finished's files are empty, its outputs not.",
       "files_are_those_of_the_outputs", _END, put("data.files", []))
_event("stream_node_files_lost", "Files of nodes are empty, their outputs not.",
       "files_are_those_of_the_outputs", "node_finished", put("data.files", []))
_event("stream_files_differ", "workflow_finished's files are not those of its outputs.",
       "files_repeat_the_outputs_byte_for_byte", _END,
       change("data.files", _with_url(lambda url: url.partition("&sign")[0] + _SIGN)))
_event("stream_outputs_differ_from_end", "workflow_finished's outputs are not the end node's.",
       "end_repeats_the_run_byte_for_byte", _END,
       change("data.outputs", lambda value: {**value, "text": "done"}))
_event("stream_file_of_another", "workflow_finished's file is not the tool's.",
       "end_repeats_the_run_byte_for_byte end_takes_its_file_from_the_tool", _END,
       _with_url(lambda url: url[:13] + "0" * 8 + url[21:]))
_event("stream_urls_unsigned", "URLs in streams are not signed.",
       "streamed_urls_have_the_documents_form", "*", _with_url(lambda url: url.partition("?")[0]))
_event("stream_file_variant_lost", "File objects in streams have no __variant.",
       "streamed_files_have_the_hosts_fields", "*", lambda event: _without_key(event, "__variant"))
_event("stream_file_related_id_lost", "File objects in streams have no related_id.",
       "streamed_files_have_the_hosts_fields streaming_run_has_an_image", "*",
       lambda event: _without_key(event, "related_id"))
_order("stream_urls_not_signed_anew", "The tool's and the end's URL are one and the same.",
       "each_serialisation_signs_anew", _same_signature)
_event("end_node_outputs_lost", "The end node has no outputs.", "end_node_selects_the_runs_outputs",
       "node_finished", of_node("end", combined(put("data.outputs", None), put("data.files", []))))
_event("end_has_another_file", "The file at the end is not the one that the tool has made.",
       "end_takes_its_file_from_the_tool", "node_finished workflow_finished",
       _at_the_end(_other_file))
_event("stream_files_of_another_tenant",
       "The files of a stream name another tenant than those of blocking responses.",
       "both_modes_describe_a_file_alike", "*", _of_another_tenant)
# fmt: on
