"""What runs: one store process, the mail workers, the web process, and one that serves metrics where they are wanted.
Each is forked by the supervisor."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import socket
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

import structlog
import uvloop

from relayd.clock import SystemClock
from relayd.daemon.connections import Connections
from relayd.daemon.memory import give_back, keep_for_reuse
from relayd.daemon.metrics import run_metrics
from relayd.daemon.sockets import Listening
from relayd.daemon.store_process import run_store
from relayd.daemon.supervisor import REFUSED, Role
from relayd.daemon.web import run_web
from relayd.daemon.worker import run_worker
from relayd.errors import RelaydError, StoreDamaged, VaultError
from relayd.settings.load import Loaded
from relayd.telemetry.lag import LagHistogram, LagSampler
from relayd.telemetry.log import configure, watch_loop
from relayd.telemetry.metrics import Board

log = structlog.get_logger("relayd.daemon")

#: Starting order. Stopping goes the other way: first nobody new comes in, last the store ends.
_STORE, _WORKERS, _WEB = 0, 1, 2

Runner = Callable[[Loaded, list[Listening], socket.socket], Coroutine[Any, Any, None]]


def roles(loaded: Loaded) -> list[Role]:
    """The processes this configuration asks for."""
    count = loaded.configuration.workers or os.cpu_count() or 1
    connections = Connections(count)
    runners: dict[str, tuple[Runner, int]] = {"store": (run_store, _STORE)}
    runners |= {f"worker-{number}": (partial(run_worker, number, connections), _WORKERS) for number in range(count)}
    if loaded.configuration.viewer.enabled:
        runners["web"] = (run_web, _WEB)
    board = Board([*runners, "metrics"])
    if loaded.configuration.metrics.address:
        runners["metrics"] = (partial(run_metrics, board), _WEB)
    return [_role(name, runner, order, board) for name, (runner, order) in runners.items()]


def _role(name: str, runner: Runner, order: int, board: Board) -> Role:
    lag = LagHistogram()
    return Role(name, partial(_process, name, runner, lag, board), order, lag)


def _process(
    name: str,
    runner: Runner,
    lag: LagHistogram,
    board: Board,
    loaded: Loaded,
    listening: list[Listening],
    channel: socket.socket,
) -> int:
    configure(loaded.configuration.log, name)
    board.count_here(name)
    # A message makes some thousand objects that reference counting frees; looking for cycles among them so often as
    # by default costs a tenth of all work.
    gc.set_threshold(20_000, 20, 100)
    keep_for_reuse()
    with contextlib.suppress(OSError):
        # Each reply that leaves wakes a peer. As an ordinary process we would be put aside for each of them at once and
        # find cold caches after it, which costs a seventh of the rate (sched(7), SCHED_BATCH).
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    try:
        uvloop.run(_watched(runner(loaded, listening, channel), lag))
    except (StoreDamaged, VaultError) as error:
        log.critical("refused", error=str(error))
        return REFUSED
    except RelaydError as error:
        log.critical("failed", error=str(error))
        return 1
    return 0


async def _watched(serving: Coroutine[Any, Any, None], lag: LagHistogram) -> None:
    loop = asyncio.get_running_loop()
    watch_loop(loop)
    trimming = loop.create_task(give_back())
    with LagSampler(loop, lag, SystemClock()):
        await serving
    trimming.cancel()
