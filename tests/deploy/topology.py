"""nginx before replicas of a fake."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.serving import RunningServer
from tests.tools import needed

_CONFIG = """
daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log; worker_processes 1;
events {{ worker_connections 512; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  upstream replicas {{ {servers} }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://replicas; proxy_http_version 1.1; proxy_buffering off;
      proxy_set_header Host $http_host; proxy_next_upstream error timeout;
    }}
  }}
}}
"""


@contextlib.contextmanager
def behind_nginx(replicas: Sequence[RunningServer], folder: Path) -> Iterator[str]:
    """The URL of an nginx before ``replicas``, each in its turn."""
    nginx = needed("nginx")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    servers = " ".join(
        f"server 127.0.0.1:{one.port} max_fails=1 fail_timeout=1s;" for one in replicas
    )
    config = folder / "nginx.conf"
    config.write_text(_CONFIG.format(folder=folder, servers=servers, port=port))
    proxy = subprocess.Popen([nginx, "-c", str(config), "-p", str(folder)])
    try:
        until = time.monotonic() + 10
        while time.monotonic() < until:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.02)
        yield f"http://127.0.0.1:{port}"
    finally:
        proxy.terminate()
        proxy.wait()
