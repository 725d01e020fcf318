"""The source of every random value of a run: ids, nonces, and how far a duration is from its usual
value.

With a seed the values of a run depend on the seed, on the request and on how many times it came
before, and on nothing else: not on the order in which different requests arrive, nor on the process
that serves them.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Awaitable, Callable
from functools import lru_cache, partial

from fake_server.bounded import BoundedDict

REMEMBERED_REQUESTS = 100_000
"""Of more different requests the oldest count from 1 again."""


_DRAWN = ~(0xF << 76 | 0x3 << 62)
_VERSION_4 = 0x4 << 76 | 0x2 << 62
"""The bits of a UUID that say its version and variant; the others are drawn."""


class RandomValues(random.Random):
    """The random values of one run."""

    def uuid(self) -> str:
        """A random (version 4) UUID in its usual lower-case form."""
        return uuid4_text(self.getrandbits(128))

    def nonce(self) -> str:
        """16 random bytes as 32 hexadecimal digits."""
        return self.getrandbits(128).to_bytes(16, "big").hex()

    def vary(self, value: float, spread: float) -> float:
        """``value`` give or take the fraction ``spread`` of it."""
        return value * (1 + spread * (2 * self.random() - 1))


class RandomSource:
    """Makes the ``RandomValues`` of each run: reproducible ones with a seed."""

    def __init__(self, seed: int | None, remembered: int = REMEMBERED_REQUESTS) -> None:
        self._seed = seed
        self._unseeded = RandomValues()
        self._occurrences: BoundedDict[bytes, int] = BoundedDict(remembered)
        self.count: Callable[[bytes], Awaitable[int]] | None = None
        """Counts an occurrence where several servers do; None: this one counts alone."""

    @property
    def seed(self) -> int | None:
        return self._seed

    @property
    def counts_elsewhere(self) -> bool:
        """Whether ``for_request`` has to be awaited, as ``of_occurrence``."""
        return self._seed is not None and self.count is not None

    @property
    def seeded(self) -> bool:
        return self._seed is not None

    def begin(self) -> None:
        """In a process that may be the copy of another: draw other values than that."""
        self._unseeded.seed()

    def reset(self, seed: int | None) -> None:
        """Begin again, with ``seed``."""
        self._seed = seed
        self._occurrences.clear()

    def for_request(self, *parts: object) -> RandomValues:
        """The values for one more occurrence of a request, which ``parts`` identify."""
        if self._seed is None:
            return self._unseeded
        digest = self._digest(parts)
        count = self._occurrences.pop(digest, 0) + 1
        self._occurrences[digest] = count
        return RandomValues(digest + count.to_bytes(8, "big"))

    async def of_occurrence(self, *parts: object) -> RandomValues:
        """The same, counted by all servers together. Raises ``LogError``."""
        if self._seed is None or self.count is None:
            return self.for_request(*parts)
        digest = self._digest(parts)
        count = await self.count(b"seed|" + digest)
        return RandomValues(digest + count.to_bytes(8, "big"))

    def _digest(self, parts: tuple[object, ...]) -> bytes:
        text = f"{self._seed}|{json.dumps(parts, default=repr)}"
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


def uuid4_text(bits: int) -> str:
    """128 bits as the text of a version 4 UUID."""
    text = (bits & _DRAWN | _VERSION_4).to_bytes(16, "big").hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


@lru_cache(maxsize=1024)
def uuid4_for(*names: str) -> str:
    """The UUID that always belongs to ``names``, those of an app or an end user for example."""
    digest = hashlib.sha256("\x1f".join(names).encode("utf-8", "surrogatepass")).digest()
    return uuid4_text(int.from_bytes(digest[:16], "big"))


TENANT_ID = uuid4_for("tenant")


end_user_id = partial(uuid4_for, "end-user")
"""The id of an end user, by app id and user: always the same (FACTS 5.5)."""


def image_name(file_id: str) -> str:
    """The name under which a later host keeps the image of a tool: always the same for its id."""
    return f"{uuid4_for('image-name', file_id).replace('-', '')}.png"
