"""Which check sends a request, and when: a recording is named after it, whichever thread sends."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import ContextVar, copy_context
from functools import partial
from typing import ParamSpec, TypeVar

CURRENT_CHECK: ContextVar[str] = ContextVar("current_check", default="")
"""The name of the check that runs; empty before the first."""

CLOCK_MOVED: ContextVar[bool] = ContextVar("clock_moved", default=False)
"""Whether the host's clock is moved: a recording of what it sends then could not be repeated."""

SIDE_REQUEST: ContextVar[bool] = ContextVar("side_request", default=False)
"""Whether the request only probes that the host still responds, and so belongs to no check."""

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")


class ContextPool(ThreadPoolExecutor):
    """A thread pool whose threads keep the context of whoever submits."""

    def submit(
        self,
        task: Callable[_Arguments, _Result],
        /,
        *args: _Arguments.args,
        **kwargs: _Arguments.kwargs,
    ) -> Future[_Result]:
        return super().submit(copy_context().run, partial(task, *args, **kwargs))
