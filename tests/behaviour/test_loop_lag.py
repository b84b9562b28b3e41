"""Every process measures how late its event loop is, and an operator sees it."""

from __future__ import annotations

import os
import signal

import pytest

from tests.kit.wait import wait_for

pytestmark = pytest.mark.behaviour


def samples(stage) -> dict[str, int]:
    return {process["role"]: sum(process["loop_lag"]) for process in stage.relayd.status()}


def test_every_process_samples_its_loop(stage):
    wait_for(lambda: all(samples(stage).values()), "samples of all processes")
    assert sorted(samples(stage)) == ["store", "web", "worker-0", "worker-1"]


def test_a_process_that_stood_still_says_so_and_doctor_shows_it(stage):
    pid = next(pid for pid, role in stage.relayd.processes().items() if role == "worker-0")
    os.kill(pid, signal.SIGSTOP)
    try:
        # Another process's samples are the clock: ten periods, each of which worker-0 misses.
        start = samples(stage)["store"]
        wait_for(lambda: samples(stage)["store"] > start + 10, "ten samples of the store")
    finally:
        os.kill(pid, signal.SIGCONT)
    wait_for(lambda: "loop_stood_still" in stage.relayd.log, "the line in the log")
    findings = stage.relayd.cli("doctor", "--no-network", "--json", check=False).stdout
    assert '"event loops"' in findings
    assert "late at p99" in findings
