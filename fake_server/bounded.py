"""A dictionary of bounded size."""

from __future__ import annotations

from collections import OrderedDict
from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")


class BoundedDict(OrderedDict[K, V]):
    """Drops its oldest entry when it holds more than ``capacity``; setting a key again keeps its
    age.
    """

    def __init__(self, capacity: int) -> None:
        super().__init__()
        self.capacity = capacity

    def __setitem__(self, key: K, value: V) -> None:
        super().__setitem__(key, value)
        if len(self) > self.capacity:
            self.popitem(last=False)


class BoundedBytes:
    """Contents by name, which forgets the oldest of them beyond ``capacity`` bytes together."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._contents: OrderedDict[str, bytes] = OrderedDict()
        self._size = 0

    def __setitem__(self, name: str, content: bytes) -> None:
        self._size += len(content) - len(self._contents.pop(name, b""))
        self._contents[name] = content
        while self._size > self.capacity:
            self._size -= len(self._contents.popitem(last=False)[1])

    def get(self, name: str) -> bytes | None:
        return self._contents.get(name)

    def clear(self) -> None:
        self._contents.clear()
        self._size = 0
