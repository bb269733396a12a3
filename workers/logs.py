"""Logs: one line an event on stderr, as text for people or as JSON for machines.

Nothing secret is bound to one; what a library says of a URL may have its password in it, and what a database says of a row
all that is in the row: neither gets out. Lines about a batch carry `partition`, `epoch` and `batch`, those about a run of a
job `job` and `run`: both are bound to the thread that works on it.
"""

from __future__ import annotations

import logging
import re
import sys
import threading
from typing import Any

import structlog

# A password may have an @ in it: up to the last one before the path.
_URL = (re.compile(r"(://[^\s/@:]*):[^\s/]+@"), r"\1:********@")
_SETTING = (re.compile(r"(?i)((?:password|passwd)=)(?:'(?:[^'\\]|\\+.)*'|[^\s&'\",;)\\]+)"), r"\1********")
_ROW, _KEY = r"(Failing row contains \()", r"(Key \(.{1,200}?\)=\()"
# To the end of its line, which in JSON is written as \n, or of its text.
_IN_TEXT, _IN_JSON = r"(?:(?!\\n|\n).)*\)", r"(?:\\[^n]|[^\"\\\n])*\)"


def _hidden(rest: str) -> tuple[tuple[re.Pattern[str], str], ...]:
    return (_URL, _SETTING, *((re.compile(begin + rest), r"\1…)") for begin in (_ROW, _KEY)))


_HIDDEN = {False: _hidden(_IN_TEXT), True: _hidden(_IN_JSON)}
_as_json = False


def configure(log_format: str = "console", level: int = logging.INFO) -> None:
    """Send everything, also what libraries log, to stderr in one form."""
    global _as_json
    _as_json = log_format == "json"
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if _as_json:
        last: list[Any] = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
        _tell_what_nobody_caught(structlog.get_logger("uncaught"))
    else:
        # Without the values of local variables: they may hold what nobody should read in a log.
        last = [
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
            )
        ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last, hide],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    logging.captureWarnings(True)
    # They speak of queues, threads, job stores and glyphs that mean nothing here; their warnings do.
    logging.getLogger("dramatiq").setLevel(logging.WARNING)
    logging.getLogger("apscheduler").setLevel(logging.WARNING)
    logging.getLogger("fontTools").setLevel(logging.WARNING)


def hide(_logger: Any, _method: str, written: Any) -> str:
    """The line as it is written, without passwords of URLs and contents of rows."""
    line = str(written)
    for secret, shown in _HIDDEN[_as_json]:
        line = secret.sub(shown, line)
    return line


def last_words(why: str) -> bool:
    """Say why the process ends as a line of its logs; False where logs are no JSON, and it is to be said as text."""
    if _as_json:
        structlog.get_logger(__name__).critical("ended", why=why)
    return _as_json


def _tell_what_nobody_caught(log: Any) -> None:
    """A line that is no JSON is lost on whoever reads the others."""

    def tell(*caught: Any) -> None:
        log.critical("uncaught exception", exc_info=caught)

    def tell_of_thread(args: threading.ExceptHookArgs) -> None:
        tell(args.exc_type, args.exc_value, args.exc_traceback)

    sys.excepthook, threading.excepthook = tell, tell_of_thread
