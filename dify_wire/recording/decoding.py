"""Bodies that a host has compressed, made readable: a secret in them cannot be found otherwise."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator

from dify_wire.recording.errors import RecordingError
from dify_wire.recording.exchange import Chunk, Headers

_CODINGS: dict[str, int] = {"gzip": 16 + zlib.MAX_WBITS, "x-gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}


def coding(headers: Headers) -> str:
    """The content coding that ``headers`` announce; empty where there is none."""
    said = ", ".join(value for name, value in headers if name.lower() == "content-encoding").strip().lower()
    return "" if said == "identity" else said


def without_coding(headers: Headers) -> Headers:
    return tuple((name, value) for name, value in headers if name.lower() != "content-encoding")


def decoded(chunks: Iterable[Chunk], said: str) -> Iterator[Chunk]:
    """``chunks`` without the content coding ``said``; what was decoded from a chunk came when the chunk came.

    Raises ``RecordingError`` for a coding that cannot be undone here, and for a body that is not what its header says.
    """
    if said not in _CODINGS:
        message = (
            f"a body is compressed ({said}), and secrets in it cannot be found; ask with Accept-Encoding: identity"
        )
        raise RecordingError("the exchange", "Content-Encoding", message)
    inflate = _inflater(said)
    for chunk in chunks:
        data = inflate(chunk.data)
        if data:
            yield Chunk(chunk.at_s, data)


def _inflater(said: str) -> Callable[[bytes], bytes]:
    machine = zlib.decompressobj(_CODINGS[said])
    begun = False

    def inflate(data: bytes) -> bytes:
        nonlocal machine, begun
        try:
            return machine.decompress(data)
        except zlib.error as error:
            if said != "deflate" or begun:
                raise _broken(said, error) from None
            machine = zlib.decompressobj(-zlib.MAX_WBITS)  # some hosts leave out the wrapper that RFC 9110 asks for
            try:
                return machine.decompress(data)
            except zlib.error as second:
                raise _broken(said, second) from None
        finally:
            begun = True

    return inflate


def _broken(said: str, error: zlib.error) -> RecordingError:
    message = f"the body is not {said} as announced ({error}); ask with Accept-Encoding: identity"
    return RecordingError("the exchange", "Content-Encoding", message)
