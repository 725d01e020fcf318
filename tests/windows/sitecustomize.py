"""What Windows does not have is taken from the project's own code, in any Python that starts with
this folder on PYTHONPATH.

The standard library keeps it, since that of Windows does without. A loop handles no signals and
watches no descriptors, no folder can be opened, and text is not UTF-8 unless a program says so.
"""

from __future__ import annotations

import asyncio
import builtins
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

OURS = ("contract", "dify_wire", "fake_dify", "fake_server")

MODULES = (
    "fcntl",
    "grp",
    "pty",
    "pwd",
    "readline",
    "resource",
    "syslog",
    "termios",
    "tty",
    "uvloop",
)

NAMES = {
    "os": (
        *("O_CLOEXEC", "O_DIRECTORY", "O_NOFOLLOW", "O_NONBLOCK", "O_SYNC", "WNOHANG"),
        *("chown", "fchmod", "fchown", "fdatasync", "fork", "forkpty", "getegid", "geteuid"),
        *("getgid", "getgroups", "getloadavg", "getpgid", "getpriority", "getuid", "killpg"),
        *("lchown", "mkfifo", "nice", "openpty", "pathconf", "posix_spawn", "pread", "preadv"),
        *("pwrite", "pwritev", "readv", "sched_getaffinity", "sendfile", "setpgid", "setsid"),
        *("setuid", "statvfs", "sync", "sysconf", "tcgetpgrp", "ttyname", "uname", "wait"),
        *("wait4", "waitid", "writev"),
    ),
    "select": ("epoll", "kqueue", "poll"),
    "signal": (
        *("SIGALRM", "SIGCHLD", "SIGHUP", "SIGKILL", "SIGPIPE", "SIGQUIT", "SIGTSTP", "SIGUSR1"),
        *("SIGUSR2", "alarm", "pause", "pthread_kill", "pthread_sigmask", "setitimer"),
        *("siginterrupt", "sigpending", "sigtimedwait", "sigwait"),
    ),
    "socket": (
        *("AF_UNIX", "MSG_DONTWAIT", "MSG_NOSIGNAL", "SO_REUSEPORT", "recv_fds", "send_fds"),
    ),
    "time": ("clock_gettime", "clock_settime", "pthread_getcpuclockid", "tzset"),
}
"""What the modules of these names have on POSIX only."""


class _Module(ModuleType):
    """Another module without some of its names."""

    def __init__(self, real: ModuleType, absent: tuple[str, ...]) -> None:
        super().__init__(real.__name__)
        self.__dict__.update(
            {name: value for name, value in vars(real).items() if name not in absent}
        )


def _open(path: Any, flags: int, *args: Any, **options: Any) -> int:
    if not options.get("dir_fd") and Path(path).is_dir():
        raise PermissionError(13, "Permission denied", str(path))
    return os.open(path, flags, *args, **options)


def _import(
    name: str, names: Any = None, scope: Any = None, fromlist: Any = (), level: int = 0
) -> Any:
    """In place of ``__import__``: for our code the module without what Windows lacks."""
    importer = (names or {}).get("__name__", "").partition(".")[0]
    if importer in OURS or importer == "__main__":
        if name.partition(".")[0] in MODULES:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        if name in _REDUCED:
            return _REDUCED[name]
    return _real_import(name, names, scope, fromlist, level)


def _not_here(*_: Any) -> Any:
    raise NotImplementedError


_REDUCED: dict[str, ModuleType] = {
    name: _Module(__import__(name), absent) for name, absent in NAMES.items()
}
vars(_REDUCED["os"]).update(open=_open, supports_dir_fd=frozenset(), supports_fd=frozenset())
_real_import = builtins.__import__

if __name__ == "sitecustomize":  # and not where a test reads what stands above
    builtins.__import__ = _import  # type: ignore[assignment]  # a module, or a part of one
    sys.modules["uvloop"] = None  # type: ignore[assignment]  # uvicorn takes what is there
    for _method in ("add_signal_handler", "remove_signal_handler"):
        setattr(asyncio.SelectorEventLoop, _method, _not_here)
