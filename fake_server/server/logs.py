"""The log on stderr: for a person by default, one JSON object a line with ``--log-format json``."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import TextIO

from fake_server.server.log_lines import LineWriter


class JsonLines(logging.Formatter):
    """Each record as one JSON object, with a request's own fields."""

    def format(self, record: logging.LogRecord) -> str:
        fields = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return json.dumps(fields, ensure_ascii=False)


class BackgroundHandler(logging.Handler):
    """Writes records to ``stream`` without ever blocking whoever logs them."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._writer = LineWriter(stream, self._lost_line)

    @property
    def lost(self) -> int:
        """How many records could not be written, because nobody read the log."""
        return self._writer.lost

    def emit(self, record: logging.LogRecord) -> None:
        self._writer.write(self.format(record) + "\n")

    def flush(self) -> None:
        self._writer.flush()

    def _lost_line(self, count: int) -> str:
        message = f"{count} lines of the log are missing here: nobody read it"
        return (
            self.format(
                logging.LogRecord(__name__, logging.WARNING, __file__, 0, message, None, None)
            )
            + "\n"
        )


def set_up_logging(log_format: str) -> BackgroundHandler:
    """Send the log of the fake, and what uvicorn warns of, to stderr."""
    handler = BackgroundHandler(sys.stderr)
    if log_format == "json":
        handler.setFormatter(JsonLines())
    else:
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", datefmt="%H:%M:%S"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("fake_server").setLevel(logging.INFO)
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    logging.getLogger("python_multipart").setLevel(
        logging.ERROR
    )  # a form that is none gets its answer
    return handler
