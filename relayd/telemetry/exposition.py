"""The metrics in Prometheus' own words."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from prometheus_client import CollectorRegistry, make_asgi_app
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from relayd.telemetry.metrics import FAMILIES, Board, Gauge


class BoardCollector(Collector):
    """Reads a board whenever Prometheus asks."""

    def __init__(self, board: Board) -> None:
        self._board = board

    def collect(self) -> Iterator[Metric]:
        for family in FAMILIES:
            kind = GaugeMetricFamily if isinstance(family, Gauge) else CounterMetricFamily
            metric = kind(family.name, family.meaning, labels=list(family.labels))
            for labels, value in self._board.values(family).items():
                metric.add_metric(list(labels), value)
            yield metric


def application(board: Board) -> Callable[..., Any]:
    """An ASGI application that answers with the metrics."""
    registry = CollectorRegistry()
    registry.register(BoardCollector(board))
    app: Callable[..., Any] = make_asgi_app(registry)
    return app
