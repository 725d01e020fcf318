"""Where every accidental value of a run comes from: ids, nonces, and how far a duration strays from
its usual value.

With a seed the values of a run depend on the seed, on what was asked and on how many times it was
asked before, and on nothing else: not on the order in which different requests arrive, nor on the
process that serves them.
"""

from __future__ import annotations

import hashlib
import random

from fake_server.bounded import BoundedDict

_REMEMBERED_REQUESTS = 100_000


class Draw:
    """The accidental values of one run."""

    __slots__ = ("_random",)

    def __init__(self, source: random.Random) -> None:
        self._random = source

    def uuid(self) -> str:
        """A random (version 4) UUID in its usual lower-case form."""
        return uuid4_text(self._random.getrandbits(128))

    def nonce(self) -> str:
        """16 random bytes as 32 hexadecimal digits."""
        return f"{self._random.getrandbits(128):032x}"

    def around(self, value: float, spread: float) -> float:
        """``value`` give or take the fraction ``spread`` of it."""
        return value * (1 + spread * (2 * self._random.random() - 1))

    def number(self, bits: int) -> int:
        return self._random.getrandbits(bits)


class DrawSource:
    """Makes a ``Draw`` for each run: reproducible ones when it has a seed, fresh ones otherwise."""

    def __init__(self, seed: int | None) -> None:
        self._seed = seed
        self._fresh = Draw(random.Random())
        self._times_asked: BoundedDict[bytes, int] = BoundedDict(_REMEMBERED_REQUESTS)

    def reset(self, seed: int | None) -> None:
        """Begin again, with ``seed``."""
        self._seed = seed
        self._times_asked.clear()

    def for_request(self, request: str) -> Draw:
        """The values for one more occurrence of ``request`` (any text that tells requests
        apart).
        """
        if self._seed is None:
            return self._fresh
        digest = hashlib.sha256(f"{self._seed}|{request}".encode("utf-8", "surrogatepass")).digest()
        times = self._times_asked.pop(digest, 0) + 1
        self._times_asked[digest] = times
        return Draw(random.Random(digest + times.to_bytes(8, "big")))


def uuid4_text(bits: int) -> str:
    """128 bits as the text of a version 4 UUID."""
    bits = bits & ~(0xF << 76) | (0x4 << 76)
    bits = bits & ~(0x3 << 62) | (0x2 << 62)
    text = f"{bits:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def uuid4_for(*names: str) -> str:
    """The UUID that always belongs to ``names``: an end user of an app, an app, a workflow, a
    tenant.
    """
    digest = hashlib.sha256("\x1f".join(names).encode("utf-8", "surrogatepass")).digest()
    return uuid4_text(int.from_bytes(digest[:16], "big"))
