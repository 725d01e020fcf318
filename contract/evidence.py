"""The evidence that checks share: a blocking run, a streaming run, a stopped run, and the picture
behind a URL.

The two runs are asked for at the same time, which also shows that runs do not mix, and costs
nothing extra.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from contract.current_check import ContextPool
from contract.result import NotPassed, NotRun
from contract.signature import SignedUrl
from contract.sse import split_frames
from contract.target import FINITE_SPEED_S, PROMPT, USER, Stream, Target, file_urls
from dify_wire.exchange import Chunk, Exchange, Request

DOCUMENT_MODEL = "chilloutmix_NiPrunedFp32Fix"
STOPPED_MODEL = "dosmix_"
MODE_LEFT_OUT_MODEL = "ghostmix_v20Bakedvae"
REMAINING_MODELS = ("rundiffusionFX_v10", "v1-5-pruned-emaonly")
OTHER_USER = "somebody else"

_NAMED_WITHIN_BYTES = 64 << 10
_LOOKED_FOR_STOP_S = 1.2
"""A host looks for a stop once a second (FACTS 7)."""


@dataclass(frozen=True, slots=True)
class Pair:
    """The shared runs: the document's own request in blocking mode, and one without a model as a
    stream.
    """

    blocking: Exchange
    stream: Stream


def pair(target: Target) -> Pair:
    """Both shared runs, asked for at once. Raises ``NotRun`` where the budget forbids them."""

    def fetch() -> Pair:
        blocking = target.run_request(inputs={"prompt": PROMPT, "model_name": DOCUMENT_MODEL})
        streaming = target.run_request(response_mode="streaming")
        with ContextPool(2) as pool:
            asked = [pool.submit(target.send, request) for request in (blocking, streaming)]
            answered = [one.result() for one in asked]
        return Pair(answered[0], Stream.of(answered[1]))

    found: Pair = target.shared("pair", fetch)
    return found


def send_once(target: Target, request: Request) -> Exchange:
    """The response to ``request``, which is sent only the first time."""
    found: Exchange = target.shared(str(request), lambda: target.send(request))
    return found


def changed_run(target: Target, **changes: Any) -> Exchange:
    """The response to a run with these changes, which is sent only once."""
    return send_once(target, target.run_request(**changes))


def blocking(target: Target) -> Exchange:
    """The blocking run, however it was answered."""
    return pair(target).blocking


def blocking_data(target: Target) -> Mapping[str, Any]:
    """``data`` of the blocking answer. Raises ``NotRun`` where there is none to judge."""
    data = blocking(target).json_object().get("data")
    if not isinstance(data, dict):
        raise NotRun("there is no blocking answer to judge", blocking(target))
    return data


def stream(target: Target) -> Stream:
    """The streaming run, however it was answered."""
    return pair(target).stream


def told_stream(target: Target) -> Stream:
    """The streaming run. Raises ``NotRun`` where it tells no event at all."""
    told = stream(target)
    if not told.data_frames:
        raise NotRun("there is no stream to judge", told.exchange)
    return told


def picture_url(target: Target) -> SignedUrl:
    """The URL of the blocking run's picture. Raises ``NotRun`` where it has none of the host's
    form.
    """
    urls = file_urls(blocking_data(target).get("outputs"))
    if not urls or urls[0] is None:
        raise NotRun("there is no signed URL to judge", blocking(target))
    return urls[0]


def stream_picture_url(target: Target) -> SignedUrl:
    """The URL of the streaming run's picture. Raises ``NotRun`` where it has none of the host's
    form.
    """
    for finished in told_stream(target).events("workflow_finished"):
        urls = file_urls(finished.get("outputs"))
        if urls and urls[0] is not None:
            return urls[0]
    raise NotRun("the stream ends with no signed URL to judge", stream(target).exchange)


def picture(target: Target) -> Exchange:
    """The picture of the blocking run, fetched once without a key."""
    found: Exchange = target.shared("picture", lambda: fetch_file(target, picture_url(target)))
    return found


def stream_picture(target: Target) -> Exchange:
    """The picture of the streaming run."""
    found: Exchange = target.shared(
        "stream picture", lambda: fetch_file(target, stream_picture_url(target))
    )
    return found


def fetch_file(target: Target, url: SignedUrl, method: str = "GET") -> Exchange:
    """Ask the host for ``url``, without a key."""
    return target.send(Request(method, url.path))


@dataclass(frozen=True, slots=True)
class Stopped:
    """A streaming run, and the call that stopped it while it ran.

    ``call`` is None where no frame named the task, or where it could not be made: ``trouble`` says
    why. Before it, where there was time, ``others_call`` was made by another user; ``outlived_it``
    says that the run still went on when the host must have looked for a stop.
    """

    stream: Stream
    call: Exchange | None
    trouble: NotPassed | None = None
    others_call: Exchange | None = None
    outlived_it: bool = False


def stopped(target: Target) -> Stopped:
    """A run that is told to stop when its first frame has named its task; it counts as its model
    accepted.

    Where runs take their time, another user tries it first.
    """
    found: Stopped = target.shared("stopped run", lambda: _stop_a_run(target))
    return found


def _stop_a_run(target: Target) -> Stopped:
    has_time = stream(target).exchange.seconds >= FINITE_SPEED_S
    calls: list[Future[_Calls]] = []
    seen = bytearray()
    ended = threading.Event()

    def on_chunk(data: bytes) -> None:
        if calls or len(seen) > _NAMED_WITHIN_BYTES:
            return
        seen.extend(data)
        task_id = task_id_in(bytes(seen))
        if task_id:
            calls.append(pool.submit(_call_stop, target, task_id, has_time, ended))

    inputs = {"prompt": PROMPT, "model_name": STOPPED_MODEL}
    request = target.run_request(inputs=inputs, response_mode="streaming")
    with ContextPool(1) as pool:
        try:
            run = Stream.of(target.send(request, on_chunk))
        finally:
            ended.set()
    try:
        others_call, outlived_it, call = calls[0].result() if calls else (None, False, None)
    except NotPassed as trouble:
        return Stopped(run, None, trouble)
    return Stopped(run, call, None, others_call, outlived_it)


_Calls = tuple[Exchange | None, bool, Exchange]


def _call_stop(target: Target, task_id: str, has_time: bool, ended: threading.Event) -> _Calls:
    others_call, outlived_it = None, False
    if has_time:
        others_call = target.send(stop_request(target, task_id, OTHER_USER))
        outlived_it = not ended.wait(_LOOKED_FOR_STOP_S)
    return others_call, outlived_it, target.send(stop_request(target, task_id))


def stop_request(target: Target, task_id: str, user: str = USER) -> Request:
    return target.json_request("POST", f"/v1/workflows/tasks/{task_id}/stop", {"user": user})


def task_id_in(data: bytes) -> str | None:
    """The task id in the first whole frame of a stream."""
    frames, _ = split_frames([Chunk(0.0, data)])
    for frame in frames:
        if frame.data is not None and isinstance(frame.data.get("task_id"), str):
            return str(frame.data["task_id"])
    return None


def is_uuid(value: object) -> bool:
    """Whether ``value`` is a UUID in its usual lower-case form."""
    try:
        return isinstance(value, str) and str(uuid.UUID(value)) == value
    except ValueError:
        return False
