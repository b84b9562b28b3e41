"""Counting in memory that processes share, and what Prometheus gets to read."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from relayd.telemetry import metrics
from relayd.telemetry.exposition import BoardCollector
from relayd.telemetry.metrics import DELIVERIES, FAMILIES, OTHER, QUEUE, RESOLVER_VALIDATES, Board, Counter, Gauge

OPERATING = Path("docs/operating.md")
RULES = Path("docs/alert-rules.yaml")


@pytest.fixture
def board() -> Iterator[Board]:
    yield Board(["worker-0", "worker-1", "store"])
    Board(["none"]).count_here("none")


def exposed(board: Board) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    """What the endpoint says, as Prometheus' own parser reads it."""
    registry = CollectorRegistry()
    registry.register(BoardCollector(board))
    found: dict[str, dict[Any, float]] = {}
    for family in text_string_to_metric_families(generate_latest(registry).decode()):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sorted(sample.labels.items()))] = sample.value
    return found


def test_the_counts_of_all_processes_are_added_up(board: Board) -> None:
    for process, times in (("worker-0", 3), ("worker-1", 4), ("store", 0)):
        pid = os.fork()
        if not pid:
            board.count_here(process)
            for _ in range(times):
                DELIVERIES.add("relay", "delivered")
            os._exit(0)
        os.waitpid(pid, 0)
    assert board.values(DELIVERIES)["relay", "delivered"] == 7
    said = exposed(board)["relayd_delivery_attempts_total"]
    assert said[("result", "delivered"), ("route", "relay")] == 7
    assert said[("result", "failed"), ("route", "relay")] == 0  # there from the start, so that rates can be told


def test_a_process_started_anew_goes_on_counting_but_knows_no_gauge(board: Board) -> None:
    board.count_here("worker-0")
    DELIVERIES.add("viewer", "delivered")
    RESOLVER_VALIDATES.set(0)
    board.count_here("worker-0")
    DELIVERIES.add("viewer", "delivered", amount=2)
    assert board.values(DELIVERIES)["viewer", "delivered"] == 3
    assert board.values(RESOLVER_VALIDATES) == {}


def test_a_gauge_is_the_worst_that_any_process_says(board: Board) -> None:
    assert "relayd_resolver_validates" not in exposed(board)
    for process, value in (("worker-0", 1), ("worker-1", 0)):
        board.count_here(process)
        RESOLVER_VALIDATES.set(value)
    assert exposed(board)["relayd_resolver_validates"] == {(): 0.0}
    RESOLVER_VALIDATES.set(None)
    assert exposed(board)["relayd_resolver_validates"] == {(): 1.0}


def test_what_is_not_in_the_set_counts_as_other(board: Board) -> None:
    board.count_here("store")
    assert not any(OTHER in labels for labels in board.values(DELIVERIES))
    DELIVERIES.add("jan@clinic.example", "delivered")
    assert board.values(DELIVERIES)[OTHER, "delivered"] == 1
    assert "clinic" not in str(exposed(board))


def test_a_mistaken_number_of_labels_is_a_defect(board: Board) -> None:
    with pytest.raises(ValueError, match="zip"):
        DELIVERIES.add("relay")


def test_names_follow_prometheus_conventions() -> None:
    for family in FAMILIES:
        assert re.fullmatch(r"relayd_[a-z_]+", family.name)
        assert family.name.endswith("_total") is isinstance(family, Counter)
        assert family.meaning.endswith(".")
    assert len({family.name for family in FAMILIES}) == len(FAMILIES)


def test_every_metric_is_in_the_manual_and_every_rule_uses_one() -> None:
    names = {family.name for family in FAMILIES}
    listed = set(re.findall(r"^\| `(relayd_\w+)", OPERATING.read_text(), re.MULTILINE))
    assert listed == names
    assert set(re.findall(r"relayd_\w+", RULES.read_text())) <= names


def test_gauges_of_the_queue_have_no_value_before_it_was_measured(board: Board) -> None:
    assert isinstance(QUEUE, Gauge)
    assert board.values(QUEUE) == {}
    assert metrics.FAMILIES is FAMILIES
