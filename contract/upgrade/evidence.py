"""What the overlays between two versions say: which of their actions states a change.

An action is known by what it changes in the merged document. It states a change only if that
concerns it: the schema of the object and the field, the text of the error, the path, the fact of
the host's group. A change that no action concerns has no evidence rather than a wrong one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any

from contract.diff.difference import ABSENT, Group
from dify_wire.overlay import read_overlay
from dify_wire.profile import overlay_paths
from dify_wire.spec import load, resolved
from dify_wire.text_file import bundled

Leaf = tuple[str, ...]
"""A value of a document, after the names that lead to it; places in lists do not count."""

_SEGMENT = re.compile(r"\.(?P<name>[\w-]+)|\['(?P<quoted>[^']+)'\]|(?P<open>\.\*|\[\?.*)")
_OF_RESPONSE = re.compile(
    r"(?P<method>[A-Z]+) (?P<path>/\S+)(?: \(streaming\))?: body\.?(?P<rest>.*)"
)
_OF_EVENT = re.compile(r"(?P<event>every event|[a-z_]+)(?: \((?P<node>.*)\))?\.(?P<rest>.*)")
_ERROR_TEXT = re.compile(r".*\.(message|error|error_message|content)")
_RUN = ("POST", "/v1/workflows/run")
_NAMING = frozenset(("properties", "required", "mapping"))
"""Keywords beneath which a schema names fields."""

_OF_VALUES = frozenset(("keys", "key order", "type", "value", "length"))
"""Kinds of differences at a field, whose name a description may have."""

_SHORTEST_TEXT = 12
"""Characters of a text that is recognised in a response."""

_OF_REQUESTS = frozenset(
    (
        *("errors", "http", "limits", "app_prefixes", "proxy", "request", "input_files", "files"),
        *("upload_extensions", "graph", "nodes", "records", "app", "run"),
    )
)
"""Groups of facts that decide the outcome of a request."""

_OF_RUNS = frozenset(("stream", "run", "graph", "nodes", "records", "files", "input_files"))
_OF_KIND: Mapping[str, frozenset[str]] = {
    "header": frozenset(("headers", "cors", "http", "files", "responses")),
    "ping": frozenset(("ping",)),
    "end": frozenset(("stream",)),
    "style": frozenset(("http",)),
    "framing": frozenset(("http", "files", "stream")),
    "identity": frozenset(("stream", "files")),
}
"""Groups of facts that decide the rest of a response, by the kind of a difference."""


@dataclass(frozen=True, slots=True)
class Action:
    """An action of an overlay: where it acts, what it says, and the exchanges that show it.

    ``error`` is the one error that it is about, of those that the action in the overlay holds;
    without exchanges of its own it has those of all of them, and is not narrow.
    """

    version: str
    target: str
    description: str
    exchanges: frozenset[str]
    source: str
    leaves: frozenset[Leaf]
    error: str = ""
    is_narrow: bool = True

    @property
    def title(self) -> str:
        error = f" ({self.error})" if self.error else ""
        return f"{self.description or self.target}{error}"


@dataclass(frozen=True, slots=True)
class Evidence:
    """An action with the exchanges that show a change."""

    action: Action
    exchanges: tuple[str, ...]


# Actions
# ------------------------------------------------------------------------------------------


def actions_between(a: str, b: str) -> tuple[Action, ...]:
    """The actions of the overlays that lead from ``a`` to ``b``, or back, in their order."""
    of_a, of_b = overlay_paths(a), overlay_paths(b)
    longer = of_b if len(of_b) > len(of_a) else of_a
    found: list[Action] = []
    for count, path in enumerate(longer):
        if path not in of_a or path not in of_b:
            start, end = _leaves_of(tuple(longer[:count])), _leaves_of(tuple(longer[: count + 1]))
            found += _actions(read_overlay(path), start ^ end)
    return tuple(found)


@cache
def _leaves_of(overlays: tuple[Any, ...]) -> frozenset[Leaf]:
    return frozenset(_leaves(load(bundled("openapi.yaml"), overlays)))


def _leaves(value: Any, path: Leaf = ()) -> Iterator[Leaf]:
    if isinstance(value, Mapping):
        for key, child in value.items():
            if key not in ("evidence", "x-observed", "x-document-lines", "description"):
                yield from _leaves(child, (*path, str(key)))
    elif isinstance(value, list):
        for child in value:
            yield from _leaves(child, path)
    else:
        yield (*path, str(value))


def _actions(overlay: Mapping[str, Any], changed: frozenset[Leaf]) -> Iterator[Action]:
    """What is removed from an object goes with what is added to it, as one action."""
    version = str(overlay["info"]["version"])
    groups = [_Group.of(action) for action in overlay["actions"] if "update" in action]
    for action in overlay["actions"]:
        gone, _ = _path(action["target"])
        if "update" not in action:
            homes = [one for one in groups if one.adds_again(gone)]
            homes += [one for one in groups if one.holds(gone)]
            home = next(iter(homes), None)
            if home is None:
                groups.append(_Group([action], gone, True, frozenset(), frozenset(), [gone]))
            else:
                home.parts.append(action)
                home.gone.append(gone)
    for group in groups:
        leaves = frozenset(leaf for leaf in changed if group.changes(leaf))
        if group.path[:2] == ("x-host", "errors"):
            yield from _errors(version, group.parts[0], leaves)
        else:
            yield _action(version, group.parts, leaves)


@dataclass(frozen=True, slots=True)
class _Group:
    """An update with the removals that belong to it: where it acts, and on which places."""

    parts: list[Mapping[str, Any]]
    path: Leaf
    is_whole: bool
    keys: frozenset[str]
    added: frozenset[Leaf]
    gone: list[Leaf]

    @classmethod
    def of(cls, action: Mapping[str, Any]) -> _Group:
        (path, is_whole), update = _path(action["target"]), action["update"]
        keys = frozenset(update) if isinstance(update, Mapping) else frozenset((str(update),))
        added = frozenset(leaf[:-1] for leaf in _leaves(update, path))
        return cls([action], path, is_whole, keys, added, [])

    def adds_again(self, gone: Leaf) -> bool:
        return any(leaf[: len(gone)] == gone for leaf in self.added)

    def holds(self, gone: Leaf) -> bool:
        """Whether what is removed is a part of the same object."""
        return len(self.path) > 2 and gone[: len(self.path)] == self.path

    def changes(self, leaf: Leaf) -> bool:
        if leaf[:-1] in self.added or any(leaf[: len(one)] == one for one in self.gone):
            return True
        inside = not self.is_whole and leaf[: len(self.path)] == self.path
        return inside and not self.keys.isdisjoint(leaf)


def _path(target: str) -> tuple[Leaf, bool]:
    """The names of a JSONPath up to the first that stands for several, and whether none does."""
    names: list[str] = []
    for segment in _SEGMENT.finditer(target):
        if segment["open"]:
            return tuple(names), False
        names.append(segment["name"] or segment["quoted"])
    return tuple(names), True


def _action(
    version: str,
    parts: Sequence[Mapping[str, Any]],
    leaves: frozenset[Leaf],
    error: str = "",
    is_narrow: bool = True,
) -> Action:
    described = (one["description"] for one in parts if "description" in one)
    sources = (str(one["x-source"]) for one in parts if "x-source" in one)
    return Action(
        version=version,
        target=parts[0]["target"],
        description=" ".join(next(described, "").split()),
        exchanges=frozenset(
            name
            for one in parts
            for name in one.get("x-evidence", ())
            if not name.startswith("FACTS ")
        ),
        source=next(sources, ""),
        leaves=leaves,
        error=error,
        is_narrow=is_narrow,
    )


def _errors(version: str, action: Mapping[str, Any], leaves: frozenset[Leaf]) -> Iterator[Action]:
    """One action for each error, with the evidence that stands beside it."""
    update, (path, _) = action["update"], _path(action["target"])
    entries = {path[2]: update} if len(path) > 2 else update
    for name, entry in entries.items():
        of_error = frozenset(leaf for leaf in leaves if leaf[2] == name)
        evidence = entry.get("evidence", action.get("x-evidence", ()))
        if of_error:
            parts = [{**action, "x-evidence": evidence}]
            is_one = len(entries) == 1
            is_narrow = is_one or "evidence" in entry
            yield _action(version, parts, of_error, "" if is_one else name, is_narrow)


# What a change is about
# ------------------------------------------------------------------------------------------


def supporting(
    actions: Sequence[Action],
    group: Group,
    requests: Sequence[str],
    documents: Sequence[Mapping[str, Any]],
) -> tuple[Evidence, ...]:
    """The actions that state the change ``group``, which ``requests`` show, the likeliest first.

    ``documents`` are the merged documents of both versions.
    """
    concern = _Concern(group, documents)
    names = frozenset(requests)
    found = []
    for action in actions:
        shared = action.exchanges & names
        weight = concern.weight(action, bool(shared))
        if weight:
            shown = tuple(sorted(shared or action.exchanges))
            found.append((weight, len(shared), Evidence(action, shown)))
    found.sort(key=lambda one: one[:2], reverse=True)
    if group.kind == "status" and found and not found[0][1] and len(found) > 1:
        return ()  # several have the same text
    best = [evidence for weight, _, evidence in found if 2 * weight > found[0][0]]
    return tuple(best)


class _Concern:
    """What a change is about: schemas and their fields, a path, texts of errors, facts."""

    def __init__(self, group: Group, documents: Sequence[Mapping[str, Any]]) -> None:
        self.kind, places = group.kind, group.places or (group.place,)
        is_value = self.kind == "value"
        self.is_error_text = is_value and any(_ERROR_TEXT.fullmatch(one) for one in places)
        self.texts = [text.strip("'\"") for text in (group.a, group.b) if text != ABSENT]
        last = {place.rpartition(".")[2].removesuffix("[]") for place in places}
        of_nodes = (_OF_EVENT.fullmatch(place) for place in places)
        self.of_nodes = [  # the words of a fact such as tool_inputs
            {one["node"], one["rest"].rpartition(".")[2]} for one in of_nodes if one and one["node"]
        ]
        self.schemas: set[str] = set()
        self.fields = last
        self.path = ""
        self.is_object = self.kind in ("keys", "key order")
        self.is_value = not self.is_object and self.kind != "events"
        if self.is_object:
            self.fields = {name for text in self.texts for name in text.split(", ")}
        elif self.kind == "header":
            self.fields = {name.lower() for name in (*places, *self.texts)}
        elif self.kind in ("framing", "identity"):
            self.fields = {"signed", *(text.lower() for text in self.texts)}
            places = ()
        elif self.kind == "events":
            self.schemas.add("StreamEvent")
        elif self.kind in ("status", "route"):
            self.path = next((word for word in group.place.split(" ") if word[0] == "/"), "")
        for document in documents:
            for place in places:
                self.schemas |= _schemas_at(document, place, self.is_object)
            if self.kind == "status":
                self.schemas |= _of_request(document, group.place.split(" ")[0], self.path)
        if self.is_value and self.kind != "status":  # a new schema changes no value
            self.schemas.intersection_update(*(one["components"]["schemas"] for one in documents))
        running = any(_OF_EVENT.match(place) or place.startswith("body") for place in places)
        self.groups = _OF_KIND.get(self.kind, _OF_RUNS if running else _OF_REQUESTS)

    def weight(self, action: Action, shares: bool) -> int:
        """How much ``action`` concerns it: not at all, or more where an exchange shows both."""
        shows = shares and action.is_narrow
        weights = {self._weight(leaf, shows) for leaf in action.leaves}
        if (
            shows
            and self.kind in _OF_VALUES
            and not self.groups.isdisjoint(leaf[1] for leaf in action.leaves if leaf[0] == "x-host")
        ):
            words = _words(action.description)
            weights.add(any(frozenset() < _words(field) <= words for field in self.fields))
        return max(weights, default=0) * (2 if shares else 1)

    def _weight(self, leaf: Leaf, shows: bool) -> int:
        if leaf[:2] == ("components", "schemas"):
            named = [name for word, name in pairwise(leaf[3:]) if word in _NAMING]
            concerns = shows if self.kind == "status" else 4 * self._mentions(named)
            return concerns if leaf[2] in self.schemas else 0
        if leaf[0] == "paths":
            concerns = 4 if self.kind == "route" else self.kind == "status" and shows
            return concerns if leaf[1] == self.path else 0
        is_fact = leaf[0] in ("x-host", "components") and leaf[1] in self.groups
        return 2 * self._weight_of_fact(leaf, shows) if is_fact else 0

    def _weight_of_fact(self, leaf: Leaf, shows: bool) -> int:
        if leaf[1] == "errors":
            return shows + self._fits(leaf[-1])
        if leaf[1] == "cors":
            stems = tuple(word for field in self.fields for word in _words(field))
            return any(word.startswith(stems) for word in _words(leaf[2]))
        if self.kind in ("status", "ping", "end", "style") or self.is_error_text:
            return shows * (1 + self._fits(leaf[-1]))
        mentions = self._mentions(leaf[1:])
        if leaf[1] == "nodes" and self.is_object:
            words = {"inputs" if word == "values" else word for word in _words(leaf[2])}
            mentions = mentions or any(one <= words for one in self.of_nodes)
        return mentions and (shows or self.kind == "header")

    def _mentions(self, names: Iterable[str]) -> bool:
        """Whether a field is named, as it is or, of a value, within a name (``no_error``)."""
        return any(
            field == name.lower() or (self.is_value and frozenset() < _words(field) <= _words(name))
            for name in names
            for field in self.fields
        )

    def _fits(self, template: str) -> bool:
        """Whether the change has the text ``template``, with anything in its gaps."""
        if len(template) < _SHORTEST_TEXT or " " not in template:
            return False
        pattern = re.sub(r"\\\{\w+\\\}", ".*", re.escape(template))
        return any(re.search(pattern, text, re.DOTALL) for text in self.texts)


@cache
def _words(name: str) -> frozenset[str]:
    return frozenset(re.findall(r"[a-z0-9]+", name.lower()))


# Schemas
# ------------------------------------------------------------------------------------------


def _schemas_at(document: Mapping[str, Any], place: str, is_object: bool) -> set[str]:
    """The names of the schemas that describe ``place``, or the object around it."""
    node = None
    if of_response := _OF_RESPONSE.fullmatch(place):
        operation = (of_response["method"], of_response["path"])
        current, rest = _of_responses(document, *operation), of_response["rest"]
    elif place.startswith("body"):
        current, rest = _of_responses(document, *_RUN), place.removeprefix("body").lstrip(".")
    elif of_event := _OF_EVENT.fullmatch(place):
        mapping = document["components"]["schemas"].get("StreamEvent", {}).get("discriminator", {})
        events = mapping.get("mapping", {})
        every = of_event["event"] == "every event"
        names = events if every else events.keys() & {of_event["event"]}
        current, rest = [("", {"$ref": events[name]}) for name in names], of_event["rest"]
        node = of_event["node"]
    else:
        errors = {name for name in document["components"]["schemas"] if name.endswith("Error")}
        return errors if place.startswith("an error") else set()
    around: set[str] = set()
    for segment in filter(None, rest.split(".")):
        name, is_list = segment.removesuffix("[]"), segment.endswith("[]")
        parts = list(_parts(document, current, node))
        around = {owner for owner, _ in parts}
        current = [
            (owner, one["properties"][name])
            for owner, one in parts
            if name in one.get("properties", ())
        ]
        if is_list:
            lists = _parts(document, current, node)
            current = [(owner, one["items"]) for owner, one in lists if "items" in one]
    here = {owner for owner, _ in _parts(document, current, node)}
    if node is not None:  # the schemas of nodes are known by their names
        part = rest.removeprefix("data.").title().replace("Execution_M", "M").replace("_", "")
        here |= {f"{node.title().replace('-', '')}{part}"} & document["components"][
            "schemas"
        ].keys()
    return here if is_object else around | here


def _of_responses(
    document: Mapping[str, Any], method: str, path: str
) -> list[tuple[str, Mapping[str, Any]]]:
    operation = document["paths"].get(path, {}).get(method.lower(), {})
    found = []
    for status, response in operation.get("responses", {}).items():
        content = resolved(document, response).get("content", {}) if status < "3" else {}
        found += [("", one["schema"]) for one in content.values() if "schema" in one]
    return found


def _of_request(document: Mapping[str, Any], method: str, path: str) -> set[str]:
    """The names of all schemas within the body of a request."""
    operation = document["paths"].get(path, {}).get(method.lower(), {})
    pending: list[Any] = [operation.get("requestBody", {})]
    names: set[str] = set()
    while pending:
        value = pending.pop()
        if isinstance(value, Mapping):
            name = str(value.get("$ref", "")).rpartition("/")[2]
            if name and name not in names:
                names.add(name)
                pending.append(resolved(document, value))
            pending += value.values()
        elif isinstance(value, list):
            pending += value
    return names


def _parts(
    document: Mapping[str, Any], schemas: Iterable[tuple[str, Any]], node: str | None
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Each schema that applies, with the name of the one it stands in; for nodes of one kind."""
    pending = list(schemas)
    while pending:
        owner, schema = pending.pop()
        if not isinstance(schema, Mapping):
            continue
        if "$ref" in schema:
            name = schema["$ref"].rpartition("/")[2]
            pending.append((name, document["components"]["schemas"][name]))
        else:
            yield owner, schema
        kinds = schema.get("if", {}).get("properties", {}).get("node_type", {})
        if node is None or not kinds or node in (kinds.get("const"), *kinds.get("enum", ())):
            pending += [(owner, schema[word]) for word in ("then", "else") if word in schema]
        for word in ("allOf", "anyOf", "oneOf"):
            pending += [(owner, one) for one in schema.get(word, ())]
