"""Which check asks, and when: a recording is named after it, whichever thread sends its request."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import ContextVar, copy_context
from functools import partial
from typing import ParamSpec, TypeVar

ASKING: ContextVar[str] = ContextVar("asking", default="")
"""The name of the check that is being judged; empty before the first."""

AT_ANOTHER_TIME: ContextVar[bool] = ContextVar("at_another_time", default=False)
"""Whether the host's clock has been moved: no recording of what it says then could be repeated."""

ASIDE: ContextVar[bool] = ContextVar("aside", default=False)
"""Whether the request only looks whether the host is still there: that is no part of what the
checks ask.
"""

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")


class Helpers(ThreadPoolExecutor):
    """Threads that ask on behalf of the check that started them."""

    def submit(
        self,
        task: Callable[_Arguments, _Result],
        /,
        *args: _Arguments.args,
        **kwargs: _Arguments.kwargs,
    ) -> Future[_Result]:
        return super().submit(copy_context().run, partial(task, *args, **kwargs))
