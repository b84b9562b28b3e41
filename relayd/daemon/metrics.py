"""The process that Prometheus asks: the board's numbers, and what the store tells about the queue at that moment."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable
from typing import Any, Final

import structlog
import uvicorn

from relayd.clock import Clock, SystemClock
from relayd.daemon.control import ControlChannel
from relayd.daemon.serving import serve_until_stopped
from relayd.daemon.sockets import Listening, split_address
from relayd.errors import RelaydError
from relayd.settings.load import Loaded
from relayd.store.client import StoreClient
from relayd.store.queue_measure import Measured
from relayd.telemetry.exposition import application
from relayd.telemetry.metrics import QUEUE, QUEUE_LATE, QUEUE_OLDEST, Board

log = structlog.get_logger("relayd.metrics")

Application = Callable[[Any, Any, Any], Awaitable[None]]
PATH: Final = "/metrics"


async def run_metrics(board: Board, loaded: Loaded, _listening: list[Listening], channel: socket.socket) -> None:
    """Serve the metrics until told to stop."""

    async def ignore_reload(_: Loaded) -> None:
        return  # Nothing here changes without a restart.

    control = ControlChannel(channel, ignore_reload)
    await control.start()
    store = StoreClient(loaded.configuration.state / "store.sock")
    assert loaded.configuration.metrics.address is not None
    host, port = split_address(loaded.configuration.metrics.address)
    await serve_until_stopped(
        control,
        uvicorn.Config(
            answering(board, store, SystemClock()),
            host=host,
            port=port,
            loop="none",
            lifespan="off",
            access_log=False,
            log_config=None,
            server_header=False,
        ),
    )
    await store.close()


def answering(board: Board, store: StoreClient, clock: Clock) -> Application:
    """The application: ``/metrics`` and nothing else."""
    metrics = application(board)

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or scope["path"] != PATH:
            await send({"type": "http.response.start", "status": 404, "headers": []})
            await send({"type": "http.response.body"})
            return
        await _measure_queue(store, clock)
        await metrics(scope, receive, send)

    return answer


async def _measure_queue(store: StoreClient, clock: Clock) -> None:
    try:
        found: Measured | None = await store.call("queue_measure")
    except RelaydError as error:
        log.warning("queue_not_measured", error=type(error).__name__)
        found = None
    now = clock.now()
    for state in ("waiting", "in_hand", "held"):
        QUEUE.set(getattr(found, state) if found else None, state)
    QUEUE_LATE.set(_seconds_since(found.next_due, now) if found else None)
    QUEUE_OLDEST.set(_seconds_since(found.oldest, now) if found else None)


def _seconds_since(moment: float | None, now: float) -> float:
    return 0.0 if moment is None else max(0.0, now - moment)
