"""Requests of our own making, by kind: the bytes of one request, or those of one connection.

The bytes decide everything: keys, secret and file ids are fixed, and a URL that has to be good is
signed for a time to come, which the host accepts. So what hypothesis finds and minimises can be
sent again as it stands.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import quote

from hypothesis import strategies as st

from tests.fuzz.message import Dialogue, render
from tests.fuzz.session import Example

T = TypeVar("T")
Headers = list[tuple[bytes, bytes]]

FAR_FUTURE = "4102444800"
LONG_AGO = "1700000000"

HOST = (b"Host", b"127.0.0.1:6060")
_JSON = (b"Content-Type", b"application/json")
RUN = b"/v1/workflows/run"

_MODELS = ["chilloutmix_NiPrunedFp32Fix", "v1-5-pruned-emaonly", "dosmix_"]
_UUID = "8faea5f8-b5c9-498a-b557-a39c474f0e59"


@dataclass(frozen=True, slots=True)
class World:
    """What there is on the server: keys by the name of their app, the secret and the files that
    were made already.
    """

    keys: Mapping[str, str]
    secret_key: str
    files: Sequence[str]
    paths: Sequence[str]


def _pick(*values: T) -> st.SearchStrategy[T]:
    return st.sampled_from(values)


# Values
# ---------------------------------------------------------------------------------------------

_any_text = st.text(st.characters(), max_size=20)  # lone surrogates and NUL among them
_scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    _pick(
        0, -0.0, 10**400, 1e308, float("nan"), float("inf"), "", " ", "\x00", "😀", "\ud83d",
        "{{#a.b#}}"
    ),
    _any_text,
)  # fmt: skip
_anything = st.recursive(
    _scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(_any_text, inner, max_size=3)
    ),
    max_leaves=6,
)


def _odd(*values: Any) -> st.SearchStrategy[Any]:
    """One of ``values``, or anything else."""
    return st.one_of(_pick(*values), _anything)


_prompts = st.one_of(
    _pick(
        "一个胸有成竹的男人", "a cat", "\x00\x00", "\ud83d", "x" * 1000, "x" * 1001,
        "😀" * 1000, "😀" * 1001
    ),
    st.text(max_size=40),
    _any_text,
)  # fmt: skip
_users = _odd(
    "alg123", "zk-123", "u" * 255, "u" * 256, "😀" * 255, "\x00", "\ud83d", " ", "DEFAULT-USER"
)
_modes = _odd("blocking", "streaming", "Blocking", "1", 1, None, ["blocking"])
_file = st.one_of(
    st.fixed_dictionaries(
        {},
        optional={
            "type": _odd("image", "video", ""),
            "transfer_method": _odd("remote_url", "local_file", "tool_file", ""),
            "url": _odd(
                "http://example.com/a.png", "https://[", "ftp://x", "http://10.0.0.1/a.png"
            ),
            "upload_file_id": _odd(_UUID, "x"),
        },
    ),
    _anything,
)
_files = st.one_of(st.none(), st.just([]), st.lists(_file, max_size=5), _anything)
_inputs = st.one_of(
    st.fixed_dictionaries(
        {"prompt": st.one_of(_prompts, _anything)},
        optional={"model_name": _odd(*_MODELS, "", "SDXL"), "extra": _anything},
    ),
    st.lists(
        st.one_of(
            st.tuples(_pick("prompt", "model_name"), _prompts).map(list),
            st.lists(_anything, max_size=3),
            st.text(max_size=3),
            st.dictionaries(_any_text, _scalars, max_size=3),
        ),
        max_size=4,
    ),
    _anything,
)
_right = st.fixed_dictionaries(
    {
        "inputs": st.fixed_dictionaries(
            {"prompt": st.text(min_size=1, max_size=60)},
            optional={"model_name": st.sampled_from(_MODELS)},
        ),
        "response_mode": _pick("blocking", "streaming"),
        "user": _pick("alg123", "zk-123", "u"),
    }
)
_FIELDS: Mapping[str, st.SearchStrategy[Any]] = {
    "inputs": _inputs,
    "response_mode": _modes,
    "user": _users,
    "files": _files,
    "conversation_id": _anything,
}


@st.composite
def _members(draw: st.DrawFn) -> list[tuple[str, Any]]:
    """The members of a run's object: a right one with up to three of its fields left out, replaced
    or given twice.
    """
    members = list(draw(_right).items())
    for name in draw(st.lists(st.sampled_from(sorted(_FIELDS)), max_size=3)):
        match draw(_pick("replace", "replace", "leave out", "give twice")):
            case "leave out":
                members = [member for member in members if member[0] != name]
            case "give twice":
                members.append((name, draw(_FIELDS[name])))
            case _:
                members = [member for member in members if member[0] != name] + [
                    (name, draw(_FIELDS[name]))
                ]
    return members


def _object(members: list[tuple[str, Any]], ascii_only: bool) -> str:
    """JSON text of an object that may have a name twice."""
    text = (
        f"{json.dumps(name)}: {json.dumps(value, ensure_ascii=ascii_only)}"
        for name, value in members
    )
    return "{" + ", ".join(text) + "}"


_ENCODINGS = [
    "utf-8",
    "utf-8",
    "utf-8",
    "utf-8-sig",
    "utf-16",
    "utf-16-le",
    "utf-32",
    "gbk",
    "latin-1",
]


@st.composite
def _json_bodies(draw: st.DrawFn) -> bytes:
    text = _object(draw(_members()), draw(st.booleans()))
    encoding = draw(st.sampled_from(_ENCODINGS))
    errors = "surrogatepass" if encoding.startswith("utf") else "replace"
    return text.encode(encoding, errors)


_deep = st.builds(
    lambda depth, opening, closed: (
        opening * depth + (b"]" if opening == b"[" else b"1}") * depth * closed
    ),
    _pick(10, 900, 949, 950, 951, 1100, 20000),
    _pick(b"[", b'{"a":'),
    st.booleans(),
)
_RIGHT_BODY = b'{"inputs": {"prompt": "x"}, "response_mode": "blocking", "user": "u"}'
_odd_bodies = st.one_of(
    st.binary(max_size=60),
    _pick(
        b"", b" ", b"null", b"[]", b"5", b'"abc"', b"{", b"{}", b"{'a': 1}", b"[1,]", b"1" * 5000,
        b"<html>", b"\xff"
    ),
    _anything.map(lambda value: json.dumps(value).encode()),
    _deep,
    _deep.map(lambda deep: b'{"user": "u", "inputs": ' + deep + b"}"),
    st.integers(0, len(_RIGHT_BODY)).map(lambda cut: _RIGHT_BODY[:cut]),
    _pick(_RIGHT_BODY + b" ", _RIGHT_BODY + b"x", _RIGHT_BODY + b"\x00", b"\x00" + _RIGHT_BODY),
)  # fmt: skip

# Headers
# ---------------------------------------------------------------------------------------------

_visible = st.text(
    st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=12
).map(str.encode)
_field_bytes = st.lists(
    st.one_of(st.integers(0x20, 0x7E), st.integers(0x80, 0xFF), st.just(9)), max_size=20
).map(lambda codes: bytes(codes).strip(b" \t"))
_content_types = st.one_of(
    _pick(
        b"application/json", b"APPLICATION/JSON", b"application/json; charset=gbk",
        b"application/json;", b"application/vnd.api+json", b"application/+json",
        b"application/x-www-form-urlencoded", b"multipart/form-data",
        b"multipart/form-data; boundary=x", b"text/json", b"text/plain", b"application/jsonp",
        b"application", b""
    ),
    _field_bytes,
)  # fmt: skip
_origins = _pick(
    b"https://shop.example", b"null", b"", b"*", b"http://localhost:3000", b"\xe4\xb8\x80"
)


def _authorizations(world: World) -> st.SearchStrategy[Headers]:
    key = st.sampled_from(sorted(world.keys.values())).map(str.encode)
    value = st.one_of(
        st.builds(
            lambda scheme, gap, key, end: scheme + gap + key + end,
            _pick(b"Bearer", b"bearer", b"BEARER", b"Basic", b"Token", b"", b"Bear er"),
            _pick(b" ", b"  ", b"\t", b"\xa0", b" \xa0", b"", b" \t "),
            st.one_of(key, _field_bytes),
            _pick(b"", b" ", b" x", b"\xa0", b'"'),
        ),
        _field_bytes,
    )
    one = value.map(lambda text: [(b"Authorization", text.strip(b" \t"))])
    return st.one_of(
        st.just([]),
        one,
        one,
        one,
        st.lists(one, min_size=2, max_size=2).map(lambda pair: pair[0] + pair[1]),
    )


def _key(world: World, app: str = "default") -> tuple[bytes, bytes]:
    return b"Authorization", b"Bearer " + world.keys[app].encode()


def _some_key(world: World) -> st.SearchStrategy[tuple[bytes, bytes]]:
    """Mostly the default app's."""
    names = st.one_of(st.just("default"), st.just("default"), st.sampled_from(sorted(world.keys)))
    return names.map(lambda name: _key(world, name))


# Kinds
# ---------------------------------------------------------------------------------------------


def runs(world: World) -> st.SearchStrategy[bytes]:
    """Runs that are right, or nearly."""
    return st.builds(
        lambda key, more, body, chunks: render(
            b"POST", RUN, [HOST, key, _JSON, *more], body, chunks=chunks
        ),
        _some_key(world),
        _pick([], [], [], [(b"Expect", b"100-continue")], [(b"Accept", b"text/html")]),
        _json_bodies(),
        _pick(0, 0, 0, 0, 7, 100),
    )


def right_runs(world: World) -> st.SearchStrategy[bytes]:
    return st.builds(
        lambda body: render(b"POST", RUN, [HOST, _key(world), _JSON], json.dumps(body).encode()),
        _right,
    )


def bodies(world: World) -> st.SearchStrategy[bytes]:
    """Bodies that are no object, or no JSON, on every operation that reads one."""
    targets = _pick(
        RUN,
        b"/v1/workflows/tasks/x/stop",
        b"/v1/chat-messages",
        b"/v1/completion-messages",
        b"/v1/text-to-audio",
    )
    return st.builds(
        lambda target, key, kind, body: render(
            b"POST", target, [HOST, key, (b"Content-Type", kind)], body
        ),
        targets,
        _some_key(world),
        st.one_of(st.just(b"application/json"), st.just(b"application/json"), _content_types),
        _odd_bodies,
    )


def authorizations(world: World) -> st.SearchStrategy[bytes]:
    targets = _pick(
        (b"POST", RUN),
        (b"GET", b"/v1/info"),
        (b"GET", b"/v1/parameters"),
        (b"GET", b"/v1/datasets"),
        (b"GET", b"/v1/"),
    )
    return st.builds(
        lambda target, headers: render(target[0], target[1], [HOST, *headers, _JSON], _RIGHT_BODY),
        targets,
        _authorizations(world),
    )


_segments = st.one_of(
    _pick(
        "v1",
        "V1",
        "files",
        "workflows",
        "run",
        "tools",
        "tasks",
        "stop",
        "info",
        "api",
        "console",
        "..",
        ".",
    ),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=6).map(
        lambda text: quote(text, safe="")
    ),
    _visible.map(lambda text: quote(text.decode(), safe="!$&'()*+,;=:@%")),
    _pick(
        "",
        "",
        "%2F",
        "%2e%2e",
        "%00",
        "%zz",
        "%",
        "%ff",
        "%E4%B8%80",
        "%2577",
        "%3Fx",
        "%23",
        "a:b",
        "run;x",
    ),
)


def _paths(world: World) -> st.SearchStrategy[bytes]:
    known = st.sampled_from([path.replace("{", "").replace("}", "") for path in world.paths])
    mutated = st.builds(
        _mutated, known, st.integers(0, 60), _pick("double", "encode", "upper", "cut", "add")
    )
    joined = st.lists(_segments, max_size=6).map(lambda parts: "/" + "/".join(parts))
    return st.one_of(known, mutated, mutated, joined, joined.map(lambda path: f"/v1{path}")).map(
        str.encode
    )


def _mutated(path: str, at: int, how: str) -> str:
    at = at % (len(path) + 1)
    before, here, after = path[:at], path[at : at + 1], path[at + 1 :]
    match how:
        case "double":
            return before + here * 2 + after
        case "encode":
            return before + (f"%{ord(here):02x}" if here else "%20") + after
        case "upper":
            return before + here.upper() + after
        case "cut":
            return (before or "/") if at else "/" + after.lstrip("/")
        case _:
            return path + "/"


_METHODS = [
    b"GET",
    b"HEAD",
    b"POST",
    b"PUT",
    b"PATCH",
    b"DELETE",
    b"OPTIONS",
    b"TRACE",
    b"CONNECT",
    b"PROPFIND",
    b"FOO_BAR",
]
_queries = st.one_of(
    st.just(b""), st.just(b"?"), _visible.map(lambda text: b"?" + text.replace(b"#", b""))
)


def paths(world: World) -> st.SearchStrategy[bytes]:
    """Any method on known, nearly known and unknown paths."""
    return st.builds(
        lambda method, path, query, headers: render(
            method, path + query, [HOST, *headers], b"" if method == b"POST" else None
        ),
        st.sampled_from(_METHODS),
        _paths(world),
        _queries,
        st.one_of(st.just([]), _some_key(world).map(lambda key: [key])),
    )


def cors(world: World) -> st.SearchStrategy[bytes]:
    headers = st.lists(
        st.one_of(
            st.tuples(st.just(b"Origin"), _origins),
            st.tuples(
                st.just(b"Access-Control-Request-Method"),
                _pick(b"POST", b"post", b"GET", b"FOO", b"", b"P", b"POST, PUT", b"ET, O"),
            ),
            st.tuples(
                st.just(b"Access-Control-Request-Headers"),
                _pick(
                    b"authorization,content-type",
                    b"x-foo, X-App-Code",
                    b"",
                    b",,",
                    b"Authorization,authorization",
                ),
            ),
        ),
        max_size=4,
    )
    target = st.one_of(st.just(RUN), st.just(RUN), _paths(world))
    return st.builds(
        lambda method, target, headers: render(method, target, [HOST, *headers]),
        _pick(b"OPTIONS", b"OPTIONS", b"GET", b"HEAD"),
        target,
        headers,
    )


def signed(
    world: World, file_id: str, timestamp: str, nonce: str = "0" * 32
) -> list[tuple[str, str]]:
    """The parameters of a URL that is signed rightly."""
    mac = hmac.digest(
        world.secret_key.encode(),
        f"file-preview|{file_id}|{timestamp}|{nonce}".encode(),
        hashlib.sha256,
    )
    return [
        ("timestamp", timestamp),
        ("nonce", nonce),
        ("sign", base64.urlsafe_b64encode(mac).decode()),
    ]


@st.composite
def _file_targets(draw: st.DrawFn, world: World) -> bytes:
    file_id = draw(_pick(*world.files, _UUID))
    stamps = _pick(
        FAR_FUTURE,
        FAR_FUTURE,
        FAR_FUTURE,
        LONG_AGO,
        "abc",
        "1e9",
        "-1",
        " 4102444800",
        "٤١٠٢٤٤٤٨٠٠",
        "",
    )
    query = signed(world, file_id, draw(stamps))
    for change in draw(st.lists(st.sampled_from(_CHANGES), max_size=2)):
        query = change(query, draw)
    text = "&".join(
        f"{quote(name, safe='')}={quote(value, safe=draw(_pick('=', '')))}" for name, value in query
    )
    name = draw(_pick(file_id, file_id, file_id.upper(), file_id.replace("-", ""), "x"))
    extension = draw(_pick(".png", ".png", ".jpg", ".tar.gz", ".", "", ".%E4%B8%80", ".p/ng"))
    return f"/files/tools/{name}{extension}?{text}".encode()


Query = list[tuple[str, str]]
_Change = Callable[[Query, st.DrawFn], Query]


def _tampered(query: Query, draw: st.DrawFn) -> Query:
    at = draw(st.integers(0, max(len(query) - 1, 0)))
    return [
        (
            name,
            draw(_pick("", "0" * 32, "x", "一", value[:-1], value.swapcase()))
            if index == at
            else value,
        )
        for index, (name, value) in enumerate(query)
    ]


_CHANGES: list[_Change] = [
    _tampered,
    _tampered,
    lambda query, draw: query[: draw(st.integers(0, 2))],
    lambda query, draw: [
        *query,
        (draw(_pick("timestamp", "nonce", "sign", "x")), draw(st.text(max_size=3))),
    ],
    lambda query, draw: list(reversed(query)),
    lambda query, draw: [(draw(_pick("nonce", "sign", "as_attachment")), "1"), *query],
]


def files(world: World) -> st.SearchStrategy[bytes]:
    """Signed URLs, good and tampered with."""
    extra = st.lists(
        _pick(
            (b"Range", b"bytes=0-9"),
            (b"If-None-Match", b"*"),
            (b"Accept", b"text/html"),
            (b"Origin", b"null"),
        ),
        max_size=2,
        unique=True,
    )
    return st.builds(
        lambda method, target, headers: render(method, target, [HOST, *headers]),
        _pick(b"GET", b"GET", b"GET", b"GET", b"HEAD", b"POST", b"OPTIONS"),
        st.one_of(_file_targets(world), _file_targets(world), _preview_targets(world)),
        extra,
    )


def _preview_targets(world: World) -> st.SearchStrategy[bytes]:
    return st.builds(
        lambda file_id, keep: f"/files/{file_id}/image-preview?{'&'.join(keep)}".encode(),
        _pick(_UUID, *world.files),
        st.lists(_pick("timestamp=1", "nonce=1", "sign=1", "sign=", "x"), max_size=4),
    )


_RIGHT_PART = (
    b'Content-Disposition: form-data; name="file"; filename="x.png"\r\n'
    b"Content-Type: image/png\r\n\r\nx"
)


@st.composite
def _parts(draw: st.DrawFn) -> bytes:
    """One part of a form: a user, a file, or something else."""
    name = draw(_pick("file", "file", "file", "user", "other", ""))
    disposition = f'Content-Disposition: form-data; name="{name}"'.encode()
    filename = draw(
        st.one_of(
            st.none() if name == "user" else st.just("x.png"),
            _pick(
                "a.png",
                "png",
                "x.PNG",
                "x.exe",
                "",
                "x.",
                ".png",
                "图.png",
                "a" * 300 + ".jpg",
                "a.b.txt",
                "x.csv",
            ),
            st.text(
                st.characters(exclude_categories=["Cs", "Cc"], exclude_characters='"\\'), max_size=8
            ),
        )
    )
    if filename is not None:
        disposition += f'; filename="{filename}"'.encode()
    kind = draw(
        _pick(
            b"Content-Type: image/png",
            b"Content-Type: text/plain; charset=x",
            b"Content-Type:",
            b"",
        )
    )
    content = draw(
        st.one_of(st.just(b"alg123"), st.binary(max_size=30), _pick(b"u" * 300, b"\x00", b"\xff"))
    )
    return b"\r\n".join([disposition, *([kind] if kind else []), b"", content])


@st.composite
def _forms(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """A content type and a body."""
    boundary = draw(_pick(b"----ref", b"x", b"a" * 70))
    parts = [*draw(st.lists(st.one_of(st.just(_RIGHT_PART), _parts()), max_size=2)), draw(_parts())]
    body = b"".join(b"--" + boundary + b"\r\n" + part + b"\r\n" for part in parts)
    body += draw(
        st.sampled_from([b"--" + boundary + b"--\r\n"] * 6 + [b"", b"--" + boundary + b"--"])
    )
    kind = draw(
        st.sampled_from(
            [b"multipart/form-data; boundary=" + boundary] * 8
            + [b"multipart/form-data", b"text/plain"]
        )
    )
    return kind, draw(st.sampled_from([body] * 8 + [body[:-20], b""]))


def uploads(world: World) -> st.SearchStrategy[bytes]:
    return st.builds(
        lambda target, key, form, chunks: render(
            b"POST", target, [HOST, key, (b"Content-Type", form[0])], form[1], chunks=chunks
        ),
        st.sampled_from([b"/v1/files/upload"] * 5 + [b"/v1/audio-to-text"]),
        _some_key(world),
        _forms(),
        _pick(0, 0, 0, 11),
    )


def stops(world: World) -> st.SearchStrategy[bytes]:
    task = st.one_of(_pick(_UUID, "x", "%00", "%2F", "a/b", ""), _segments)
    body = st.one_of(
        st.builds(lambda user: json.dumps({"user": user}).encode(), _users),
        _pick(b"{}", b"", b"[]"),
    )
    return st.builds(
        lambda task, key, kind, body: render(
            b"POST",
            f"/v1/workflows/tasks/{task}/stop".encode(),
            [HOST, key, (b"Content-Type", kind)],
            body,
        ),
        task,
        _some_key(world),
        st.one_of(st.just(b"application/json"), st.just(b"application/json"), _content_types),
        body,
    )


def siblings(world: World) -> st.SearchStrategy[bytes]:
    """The small GETs, with every app's key and odd queries."""
    names = ["parameters", "meta", "info", "conversations", "messages", "datasets", ""]
    user = st.one_of(st.text(max_size=6), _pick("\x00", "u" * 256, "😀")).map(
        lambda text: b"?user=" + quote(text).encode()
    )
    return st.builds(
        lambda method, name, query, key: render(
            method, f"/v1/{name}".encode() + query, [HOST, key]
        ),
        _pick(b"GET", b"GET", b"HEAD"),
        st.sampled_from(names),
        st.one_of(
            st.just(b""),
            user,
            _pick(b"?user=%ff", b"?user=%ed%a0%80", b"?user=", b"?user"),
            _queries,
        ),
        st.sampled_from(sorted(world.keys)).map(lambda name: _key(world, name)),
    )


def large(world: World) -> list[Example]:
    """The few requests that are over a limit of size, or just under it: too large to be made at
    random.
    """
    key = _key(world)
    over = b'{"user": "u", "x": "%b"}' % (b"a" * (15 << 20))
    boundary = (b"Content-Type", b"multipart/form-data; boundary=x")
    forms = [
        b'--x\r\nContent-Disposition: form-data; name="file"; filename="%b"\r\n' % name
        + b"Content-Type: a/b\r\n\r\n%b\r\n--x--\r\n" % (b"a" * size)
        for name, size in ((b"a.png", 10 << 20), (b"a.png", (10 << 20) + 1), (b"a.txt", 14 << 20))
    ]
    raws = [
        render(b"POST", RUN, [HOST, key, _JSON], over),
        render(b"POST", RUN, [HOST, key, _JSON], over, chunks=1 << 16),
        render(b"POST", RUN, [HOST, key, _JSON], over[: 14 << 20]),
        *(render(b"POST", b"/v1/files/upload", [HOST, key, boundary], form) for form in forms),
    ]
    return [Example((raw,)) for raw in raws]


def transports(world: World) -> st.SearchStrategy[bytes]:
    """HTTP itself: versions, hosts, lengths, doubled headers, heads that are too large or no
    heads.
    """
    heads = st.lists(
        st.one_of(
            _pick(
                (b"Host", b"other"),
                (b"Host", b""),
                (b"Host", b"a/b"),
                (b"Content-Length", b"0"),
                (b"Content-Length", b"x"),
                (b"Transfer-Encoding", b"chunked"),
                (b"Connection", b"close"),
                (b"Connection", b"keep-alive"),
                (b"Accept-Encoding", b"gzip"),
                (b"X-Long", b"a" * 7000),
                (b"Upgrade", b"websocket"),
                (b"Content-Type", b"text/plain"),
            ),
            st.tuples(
                _visible.filter(lambda name: name.isalnum()).map(lambda name: b"X-" + name),
                _field_bytes,
            ),
        ),
        max_size=3,
    )
    targets = _pick(
        b"/v1/info", b"/v1/", b"/v1/nope", b"/", b"/v1/workflows/run?" + b"a" * 9000, b"*", b"v1"
    )
    request = st.builds(
        lambda target, version, headers: render(
            b"GET", target, [HOST, _key(world), *headers], version=version
        ),
        targets,
        _pick(b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.0"),
        heads,
    )
    long_head = st.builds(
        lambda version, length: render(
            b"GET", b"/v1/info", [HOST, (b"X-Long", b"a" * length)], version=version
        ),
        _pick(b"HTTP/1.1", b"HTTP/1.0"),
        _pick(7000, 8100, 8300, 9000, 20000),
    )
    old_run = right_runs(world).map(lambda raw: raw.replace(b" HTTP/1.1\r\n", b" HTTP/1.0\r\n", 1))
    no_host = right_runs(world).map(lambda raw: raw.replace(b"Host: ", b"X-Host: ", 1))
    junk = st.one_of(
        st.binary(min_size=1, max_size=20)
        .map(lambda line: b"G" + line.translate(None, b"\r\n\x00") + b"\x01")
        .map(lambda line: line + b"\r\nHost: x\r\n\r\n"),
        _pick(
            b"get /v1/info HTTP/1.1\r\nHost: x\r\n\r\n",
            b"GET /v1/info\x01 HTTP/1.1\r\nHost: x\r\n\r\n",
        ),
    )
    return st.one_of(request, request, request, long_head, old_run, no_host, junk)


def dialogues(world: World) -> st.SearchStrategy[Dialogue]:
    """Several requests for one connection."""
    one = st.one_of(
        right_runs(world),
        runs(world),
        siblings(world),
        files(world),
        uploads(world),
        cors(world),
        paths(world),
    )
    return st.lists(one, min_size=2, max_size=6).map(tuple)


def _alone(
    make: Callable[[World], st.SearchStrategy[bytes]],
) -> Callable[[World], st.SearchStrategy[Example]]:
    return lambda world: make(world).map(lambda raw: Example((raw,)))


KINDS: Mapping[str, tuple[int, Callable[[World], st.SearchStrategy[Example]]]] = {
    "runs": (28, _alone(runs)),
    "bodies": (10, _alone(bodies)),
    "authorizations": (8, _alone(authorizations)),
    "paths": (12, _alone(paths)),
    "files": (10, _alone(files)),
    "uploads": (8, _alone(uploads)),
    "stops": (4, _alone(stops)),
    "siblings": (4, _alone(siblings)),
    "cors": (4, _alone(cors)),
    "transports": (5, _alone(transports)),
    "kept alive": (4, lambda world: dialogues(world).map(Example)),
    "pipelined": (
        3,
        lambda world: dialogues(world).map(lambda dialogue: Example(dialogue, at_once=True)),
    ),
}
"""By name: the share of the requests in hundredths, and what makes them."""
