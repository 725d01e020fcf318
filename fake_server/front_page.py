"""The page at ``/``, where the real host has its web interface: the keys, a request for each, and
where the console is.
"""

from __future__ import annotations

from typing import Any

from starlette.types import Receive, Scope, Send

from fake_server.host_state import HostState
from fake_server.http.responses import proxy_page

_SHOWN_KEYS = 50

_HTML = "text/html; charset=utf-8"
_HEADERS = {
    "Cache-Control": "no-store",  # it may show keys
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
}


def _render(**values: Any) -> str:
    """The page of ``data/front.html.j2``; every value is escaped."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("fake_server", "data"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("front.html.j2").render(values)


class FrontPage:
    """The page at ``/`` as an ASGI app: what this is, and a request for each key.

    The keys are only for those to whom the admin API is open.
    """

    def __init__(self, host: HostState) -> None:
        self._host = host

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(name.encode(), value.encode()) for name, value in _HEADERS.items()]
        page = proxy_page(200, self._html(scope).encode(), _HTML.encode(), headers)
        await page(scope, receive, send)

    def _html(self, scope: Scope) -> str:
        from starlette.requests import Request

        from fake_server.access import AccessDeniedError, check_access
        from fake_server.examples.requests import curl, key_examples, with_article

        host, request = self._host, Request(scope)
        closed, examples = "", []
        try:
            check_access(request, host.settings)
            examples = list(key_examples(host.apps, host.spec))
        except AccessDeniedError as error:
            closed = str(error)
        operations = [one for one in host.spec.operations if one.refusal is None]
        return _render(
            version=host.spec.version,
            replay=host.settings.replay,
            closed=closed,
            examples=examples[:_SHOWN_KEYS],
            more=len(examples[_SHOWN_KEYS:]),
            url=f"{str(request.base_url).rstrip('/')}{host.spec.paths['runWorkflow']}",
            article=with_article,
            curl=curl,
            operations=operations,
        )
