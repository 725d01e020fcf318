"""The commands that sign the URLs of files and check them: ``sign`` and ``verify``."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, urlsplit

import click

from dify_wire.command import CommandError
from fake_server.cli.options import named_by_flag, recorded, setting
from fake_server.settings import check_secret_key

FILE_URL = re.compile(
    r"(?:https?://[^/]+)?/files/tools/([0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12})\.[^/]+"
)


@click.command()
@click.argument("path")
@setting("secret_key", "The SECRET_KEY to sign with.")
@click.option("--timestamp", type=int, help="Unix seconds to sign for.  [default: now]")
@named_by_flag()
def sign(path: str, secret_key: str, timestamp: int | None) -> None:
    """Sign PATH, such as /files/tools/<uuid>.png, and print it with its query."""
    import secrets
    import time

    from fake_server.runs.signing import FileSigner

    file_id, unsigned = _file_id(path)
    check_secret_key(secret_key)
    at = int(time.time()) if timestamp is None else timestamp
    query = FileSigner(secret_key, 0).query(file_id, at, secrets.token_hex(16))
    click.echo(f"{unsigned}?{query}")


@click.command()
@click.argument("url")
@setting("secret_key", "The SECRET_KEY that signed it.")
@setting("host_version", "The Dify version, which decides how long a URL lives.")
@named_by_flag()
def verify(url: str, secret_key: str, host_version: str) -> None:
    """Check whether a host with that secret key serves URL now.

    Exit code 0 means that it does, 1 that it does not, with the reason.
    """
    import time

    from fake_server.runs.signing import FileSigner, SignatureError
    from fake_server.spec import load_host

    file_id, _ = _file_id(url)
    query = dict(reversed(parse_qsl(urlsplit(url).query, keep_blank_values=True)))
    missing = [name for name in ("timestamp", "nonce", "sign") if name not in query]
    if missing:
        raise CommandError(
            f"the URL has no {' and no '.join(missing)}; give the whole URL, in quotes"
        )
    check_secret_key(secret_key)
    signer = FileSigner(secret_key, load_host(recorded(host_version)).limits.url_lifetime_s)
    try:
        signer.verify(file_id, query["timestamp"], query["nonce"], query["sign"], time.time())
    except SignatureError as refused:
        click.echo(f"refused: {refused}")
        click.get_current_context().exit(1)
    click.echo("good")


def _file_id(url: str) -> tuple[str, str]:
    """The id of the file that ``url`` names, and the URL without its query."""
    path = url.partition("#")[0].partition("?")[0]
    match = FILE_URL.fullmatch(path)
    if match is None:
        raise CommandError(
            f"{url!r} is not the URL of a file; it has to look like /files/tools/<uuid>.png"
        )
    return match[1].lower(), path
