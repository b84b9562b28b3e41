"""The structured log: one event per line on standard error, for journald or a file.

Nothing personal passes through here. Callers log ids, counts, hosts and domains; :func:`drop_forbidden` is the net
below them: a key that names content, a person or a secret is removed with its value, and the event is marked.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import traceback
from collections.abc import Mapping, MutableMapping
from datetime import UTC, datetime
from types import TracebackType
from typing import IO, Any, BinaryIO, Literal, TextIO, cast

import msgspec
import structlog

#: Keys that would carry something personal or secret.
FORBIDDEN = frozenset(
    {"subject", "body", "content", "filename", "file_name", "code", "number", "mobile", "phone", "password", "token"}
    | {"sender", "recipient", "recipients", "address", "username", "argument", "line", "header"}
)


_log = structlog.get_logger("relayd")


def drop_forbidden(_logger: object, _method: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
    """Remove what must not be logged, and say that something was removed."""
    forbidden = FORBIDDEN.intersection(event)
    for key in forbidden:
        del event[key]
    if forbidden:
        event["withheld"] = sorted(forbidden)
    return event


class _Forgiving:
    """A stream whose full disk or closed pipe costs log lines and nothing else: mail goes on without them."""

    def __init__(self, stream: IO[Any]) -> None:
        self._stream = stream

    def write(self, line: str | bytes) -> None:
        try:
            self._stream.write(line)
        except OSError:
            pass

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError:
            pass


def configure(style: Literal["json", "text"], process: str) -> None:
    """Set up logging for this process. ``process`` ("worker-0", "store", "web") is in every line."""

    def stamp(_logger: object, method: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
        event["process"] = process
        event["level"] = "error" if method == "exception" else method
        event["timestamp"] = datetime.now(UTC).isoformat()
        return event

    renderer: Any = structlog.dev.ConsoleRenderer(colors=False)
    factory: Any = structlog.PrintLoggerFactory(cast(TextIO, _Forgiving(sys.stderr)))
    if style == "json":
        renderer = structlog.processors.JSONRenderer(serializer=_encode)
        factory = structlog.BytesLoggerFactory(cast(BinaryIO, _Forgiving(sys.stderr.buffer)))
    structlog.configure(
        processors=[
            stamp,
            drop_forbidden,
            place_exception,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=factory,
        cache_logger_on_first_use=True,
    )
    # Libraries log through the standard module, some with addresses and content in their debug lines: only their
    # warnings get out, and aiosmtpd's, which quotes command lines, never.
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Textless("%(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("mail.log").setLevel(logging.CRITICAL)


def watch_loop(loop: asyncio.AbstractEventLoop) -> None:
    """What nobody caught in this loop's tasks and callbacks: the loop itself would print its text."""

    def report(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        _log.error("uncaught", where=context.get("message", ""), exc_info=context.get("exception"))

    loop.set_exception_handler(report)


def watch_interpreter() -> None:
    """What nobody caught outside a loop: the interpreter would print its text too. Forked processes inherit this."""

    def uncaught(_: type[BaseException], error: BaseException, __: TracebackType | None) -> None:
        _log.critical("uncaught", where="process", exc_info=error)

    def in_thread(arguments: threading.ExceptHookArgs) -> None:
        _log.error("uncaught", where="thread", exc_info=arguments.exc_value)

    def unraisable(arguments: sys.UnraisableHookArgs) -> None:
        _log.error("uncaught", where="finaliser", exc_info=arguments.exc_value)

    sys.excepthook = uncaught
    threading.excepthook = in_thread
    sys.unraisablehook = unraisable


class _Textless(logging.Formatter):
    """Keeps of an exception what :func:`place_exception` keeps."""

    def formatException(self, ei: Any) -> str:
        placed = place_exception(None, "", {"exc_info": ei[1]})
        return " ".join([str(placed.get("error", "")), *map(str, placed.get("trace", ()))])


def place_exception(_logger: object, _method: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
    """Turn ``exc_info`` into its class and the places it passed; its text may quote mail and stays out."""
    info = event.pop("exc_info", None)
    if not info:
        return event
    error = info if isinstance(info, BaseException) else sys.exc_info()[1]
    if error is not None:
        frames = traceback.extract_tb(error.__traceback__)
        event["error"] = type(error).__name__
        event["trace"] = [f"{frame.filename}:{frame.lineno}:{frame.name}" for frame in frames[-12:]]
    return event


def _encode(event: Any, **_: Any) -> bytes:
    return msgspec.json.encode(event, enc_hook=str)
