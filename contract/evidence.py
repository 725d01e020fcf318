"""The evidence that checks share: a blocking run, a streaming run, a stopped run, the image behind
a URL, and the app's input form.

The two runs are sent at the same time: that also shows that runs do not mix, and costs nothing
extra.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from contract.check import ContextPool, Level
from contract.result import NotPassed, NotRun, Skipped, expect
from contract.shape import is_of_0_6
from contract.signature import SignedUrl
from contract.sse import split_frames
from contract.target import FINITE_SPEED_S, USER, Stream, Target, file_urls, images_within
from dify_wire.exchange import Chunk, Exchange, Request
from dify_wire.text_file import bundled
from dify_wire.yaml_file import load_yaml

DOCUMENT_MODEL = "chilloutmix_NiPrunedFp32Fix"
STOPPED_MODEL = "dosmix_"
MODE_LEFT_OUT_MODEL = "ghostmix_v20Bakedvae"
REMAINING_MODELS = ("rundiffusionFX_v10", "v1-5-pruned-emaonly")
OTHER_USER = "somebody else"

WAITS = "the run of this app waits for a human"

TASK_NAMED_WITHIN_BYTES = 64 << 10
STOP_NOTICED_S = 1.2
"""A host looks for a stop once a second (FACTS 7)."""


def inputs_with(target: Target, model: str) -> dict[str, Any]:
    """The inputs of a run with that model; those of any run where the app is not the document's."""
    is_documents = target.capabilities.inputs is None
    return {**target.inputs, "model_name": model} if is_documents else target.inputs


@dataclass(frozen=True, slots=True)
class Pair:
    """The shared runs: the document's own request in blocking mode, and one without a model as a
    stream.
    """

    blocking: Exchange
    stream: Stream


def shared_requests(target: Target) -> tuple[Request, Request]:
    """The requests of the shared runs, blocking and as a stream."""
    blocking = target.run_request(inputs=inputs_with(target, DOCUMENT_MODEL))
    return blocking, target.run_request(response_mode="streaming")


def shared_runs(target: Target) -> Pair:
    """Both shared runs, sent at once. Raises ``NotRun`` where the budget forbids them."""

    def fetch() -> Pair:
        with ContextPool(2) as pool:
            sent = [pool.submit(target.send, request) for request in shared_requests(target)]
            return Pair(sent[0].result(), Stream.of(sent[1].result()))

    found: Pair = target.shared("shared runs", fetch)
    return found


def send_once(target: Target, request: Request) -> Exchange:
    """The response to ``request``, which is sent only the first time."""
    found: Exchange = target.shared(str(request), lambda: target.send(request))
    return found


def get_once(target: Target, path: str) -> Exchange:
    """The response to GET ``path`` with the key, which is sent only once."""
    return send_once(target, target.get_request(path))


def changed_run(target: Target, **changes: Any) -> Exchange:
    """The response to a run with these changes, which is sent only once."""
    return send_once(target, target.run_request(**changes))


def blocking(target: Target) -> Exchange:
    """The blocking run, whatever its response."""
    return shared_runs(target).blocking


def blocking_data(target: Target) -> Mapping[str, Any]:
    """``data`` of the blocking response. Raises ``NotRun`` where there is none, and ``Skipped``
    where the run of another app than the document's waits for a human.
    """
    data = blocking(target).json_object().get("data")
    if not isinstance(data, dict):
        raise NotRun("there is no blocking response to check", blocking(target))
    if data.get("status") == "paused" and target.capabilities.inputs is not None:
        raise Skipped(WAITS, blocking(target))
    return data


def stream(target: Target) -> Stream:
    """The streaming run, whatever its response."""
    return shared_runs(target).stream


def stream_with_events(target: Target) -> Stream:
    """The streaming run. Raises ``NotRun`` where it has no event at all, and ``Skipped`` where the
    run of another app than the document's waits for a human.
    """
    found = stream(target)
    if not found.data_frames:
        raise NotRun("there is no stream to check", found.exchange)
    last = found.data_frames[-1][1].get("event")
    if last == "workflow_paused" and target.capabilities.inputs is not None:
        raise Skipped(WAITS, found.exchange)
    return found


def image_url(target: Target) -> SignedUrl:
    """The URL of the blocking run's image. Raises ``NotRun`` where none has the host's form."""
    urls = file_urls(blocking_data(target).get("outputs"))
    if not urls or urls[0] is None:
        raise NotRun("there is no signed URL to check", blocking(target))
    return urls[0]


def makes_images(target: Target) -> bool:
    """Whether a run of the app makes an image; the document's app has to."""
    if target.capabilities.inputs is None:
        return True
    data = blocking(target).json_object().get("data")
    return isinstance(data, dict) and bool(images_within(data.get("outputs")))


def image(target: Target) -> Exchange:
    """The image of the blocking run, fetched once without a key."""
    return send_once(target, Request("GET", image_url(target).path))


def served_image(target: Target) -> Exchange:
    """As ``image``. Raises ``NotRun`` where its own URL does not serve it."""
    if image(target).status != 200:
        raise NotRun("the image's own URL does not serve it", image(target))
    return image(target)


def expect_same_image(target: Target, response: Exchange) -> None:
    """Raise ``Failed`` unless ``response`` has the bytes of ``image``."""
    size, same = len(image(target).body), response.body == image(target).body
    expect(same, f"the same {size} bytes", f"{len(response.body)} bytes", response)


def stream_image(target: Target) -> Exchange:
    """The image of the streaming run. Raises ``NotRun`` where no URL of one has the host's form."""
    for finished in stream_with_events(target).events("workflow_finished"):
        urls = file_urls(finished.get("outputs"))
        if urls and urls[0] is not None:
            return send_once(target, Request("GET", urls[0].path))
    raise NotRun("the stream ends with no signed URL to check", stream(target).exchange)


def lifetime_level(target: Target) -> Level:
    """The authority of how long a URL lives: after 0.6 a deployment may choose it (FACTS 9.1)."""
    return Level.HOST if is_of_0_6(target.basis.profile) else Level.DEPLOYMENT


def fetch_file(target: Target, url: SignedUrl, method: str = "GET") -> Exchange:
    """Fetch ``url`` anew, without a key."""
    return target.send(Request(method, url.path))


@dataclass(frozen=True, slots=True)
class Stopped:
    """A streaming run, and the call that stopped it while it ran.

    ``call`` is None where no frame named the task, or where it could not be made: ``error`` says
    why. Before it, where there was time, another user made ``other_users_call``; ``survived_it``
    says that the run still went on when the host must have looked for a stop.
    """

    stream: Stream
    call: Exchange | None
    error: NotPassed | None = None
    other_users_call: Exchange | None = None
    survived_it: bool = False


def stopped(target: Target) -> Stopped:
    """A run that is stopped when its first frame has named its task; where runs take their time,
    another user tries it first.
    """
    found: Stopped = target.shared("stopped run", lambda: _stop_run(target))
    return found


def _stop_run(target: Target) -> Stopped:
    has_time = stream(target).exchange.seconds >= FINITE_SPEED_S
    calls: list[Future[_Calls]] = []
    seen = bytearray()
    ended = threading.Event()

    def on_chunk(data: bytes) -> None:
        if calls or len(seen) > TASK_NAMED_WITHIN_BYTES:
            return
        seen.extend(data)
        task_id = task_id_in(bytes(seen))
        if task_id:
            calls.append(pool.submit(_call_stop, target, task_id, has_time, ended))

    request = target.run_request(
        inputs=inputs_with(target, STOPPED_MODEL), response_mode="streaming"
    )
    with ContextPool(1) as pool:
        try:
            run = Stream.of(target.send(request, on_chunk))
        finally:
            ended.set()
    try:
        other_users_call, survived_it, call = calls[0].result() if calls else (None, False, None)
    except NotPassed as error:
        return Stopped(run, None, error)
    return Stopped(run, call, None, other_users_call, survived_it)


_Calls = tuple[Exchange | None, bool, Exchange]


def _call_stop(target: Target, task_id: str, has_time: bool, ended: threading.Event) -> _Calls:
    other_users_call, survived_it = None, False
    if has_time:
        other_users_call = target.send(stop_request(target, task_id, OTHER_USER))
        survived_it = not ended.wait(STOP_NOTICED_S)
    return other_users_call, survived_it, target.send(stop_request(target, task_id))


def stop_request(target: Target, task_id: str, user: str = USER) -> Request:
    return target.json_request("POST", f"/v1/workflows/tasks/{task_id}/stop", {"user": user})


def task_id_in(data: bytes) -> str | None:
    """The task id in the first whole frame of a stream."""
    frames, _ = split_frames([Chunk(0.0, data)])
    for frame in frames:
        if frame.data is not None and isinstance(frame.data.get("task_id"), str):
            return str(frame.data["task_id"])
    return None


# The app's own input form: what a deployment decides for itself, such as a list of models or how
# long a prompt may be (FACTS 11)
# -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class FormField:
    """One input of the app; ``kind`` is Dify's word: paragraph, text-input, select, number."""

    kind: str
    required: bool = False
    max_length: int | None = None
    options: tuple[str, ...] = ()


@functools.cache
def documented_models() -> tuple[str, ...]:
    """The models that the document names, in its order."""
    document = load_yaml(bundled("openapi.yaml"))
    return tuple(document["components"]["schemas"]["ModelName"]["enum"])


def parameters(target: Target) -> Exchange:
    return get_once(target, "/v1/parameters")


def form_field(target: Target, variable: str) -> FormField:
    """The app's input ``variable``; as the document has it where the host sends no form.

    Raises ``Skipped`` where the host sends a form without it.
    """
    form = parameters(target).json_object().get("user_input_form")
    if not isinstance(form, list):
        if variable == "model_name":
            return FormField("select", options=documented_models())
        return FormField("paragraph", required=True)
    for kind, field in form_fields(form):
        if field.get("variable") == variable:
            max_length, options = field.get("max_length"), field.get("options")
            return FormField(
                kind,
                field.get("required") is True,
                max_length if isinstance(max_length, int) else None,
                tuple(map(str, options)) if isinstance(options, list) else (),
            )
    raise Skipped(f"the app has no input {variable}")


def text_variable(target: Target) -> str:
    """The first text that the app requires: the document's ``prompt``. Raises ``Skipped`` where it
    requires none.
    """
    form = parameters(target).json_object().get("user_input_form")
    if target.capabilities.inputs is None or not isinstance(form, list):
        return "prompt"
    for kind, field in form_fields(form):
        if kind in ("paragraph", "text-input") and field.get("required") is True:
            return str(field.get("variable"))
    raise Skipped("the app requires no text")


def choice_variable(target: Target) -> str:
    """The first list of the app's form: the document's ``model_name``. Raises ``Skipped`` where it
    has none.
    """
    form = parameters(target).json_object().get("user_input_form")
    if target.capabilities.inputs is None or not isinstance(form, list):
        return "model_name"
    for kind, field in form_fields(form):
        if kind == "select":
            return str(field.get("variable"))
    raise Skipped("the app has no list to choose from")


def choice_field(target: Target, variable: str) -> FormField:
    """As ``form_field``; raises ``Skipped`` where the app takes any text (FACTS 3, row 11)."""
    field = form_field(target, variable)
    if field.kind != "select":
        raise Skipped(f"the app takes any text as {variable}")
    return field


def form_fields(form: list[Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The kind of each entry of ``user_input_form``, and the field's properties."""
    for entry in form:
        for kind, field in entry.items() if isinstance(entry, dict) else ():
            if isinstance(field, dict):
                yield kind, field
