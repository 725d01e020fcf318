"""What is wrong with a rule, said so that it can be mended."""

from __future__ import annotations

from collections.abc import Collection

from dify_wire.strict import did_you_mean

Place = tuple[str | int, ...]


class ScenarioError(ValueError):
    """A rule that cannot be used: ``place`` is the way to what is wrong in it, ``message`` says
    what, and the mend.

    ``besides`` is the way to a second part, where only the two together are wrong.
    """

    def __init__(self, message: str, place: Place = (), besides: Place = ()) -> None:
        super().__init__(f"{shown_place(place)}: {message}" if place else message)
        self.message = message
        self.place = place
        self.besides = besides

    def within(self, *outer: str | int) -> ScenarioError:
        """The same mistake, seen from further out."""
        besides = (*outer, *self.besides) if self.besides else ()
        return ScenarioError(self.message, (*outer, *self.place), besides)


def unknown(what: str, word: object, known: Collection[str]) -> str:
    """The message for a ``word`` that is no ``what``: the nearest right one, and all there are."""
    return f"{word!r} is no {what}{did_you_mean(str(word), known)}; there are: {', '.join(known)}"


def shown_place(place: Place) -> str:
    """``place`` as a person writes it: ``scenarios[1].with.seconds``."""
    text = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in place)
    return text.removeprefix(".")
