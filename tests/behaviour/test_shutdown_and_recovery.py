"""Stopping is polite, dying is survived."""

from __future__ import annotations

import contextlib
import os
import signal
import smtplib
import subprocess
import sys

import pytest

from tests.kit import mail
from tests.kit.daemon import RelayProcess
from tests.kit.process import ROOT
from tests.kit.sink import Sink
from tests.kit.site import Site
from tests.kit.talk import DOCTOR, say
from tests.kit.wait import wait_for

pytestmark = pytest.mark.behaviour


@pytest.fixture
def site(tmp_path):
    site = Site(tmp_path)
    site.relayd["queue"] = {"schedule": ["1s"], "lease": "5s"}
    return site


def test_a_start_fails_nowhere_and_is_announced_when_all_processes_serve(site):
    for _ in range(3):
        with RelayProcess(site) as relayd:
            assert sorted(relayd.processes().values()) == ["store", "web", "worker-0", "worker-1"]
        assert "failed" not in relayd.log


def test_a_waiting_session_is_told_421_at_shutdown(site):
    with RelayProcess(site) as relayd, relayd.hospital() as client:
        client.ehlo()
        relayd.child.signal(15)
        code, text = client.getreply()
        assert (code, text[:5]) == (421, b"4.3.2")
        assert relayd.child.wait() == 0


def test_accepted_mail_survives_the_death_of_everything(site, tmp_path):
    relayd = RelayProcess(site)
    names = []
    relayd.start()
    try:
        with relayd.hospital() as client:
            for number in range(5):
                content = mail.message(DOCTOR, [f"na{number}@partner.example"])
                assert say(client, DOCTOR, [f"na{number}@partner.example"], content)[0] == 250
                names.append(mail.message_id_of(content))
            relayd.kill()
        with Sink(tmp_path / "partner", site.partner, port=site.partner_port) as partner:
            relayd.start()
            for name in names:
                assert partner.wait_for_receipt(name)
            assert relayd.cli("verify").returncode == 0
    finally:
        relayd.stop()


def test_processes_that_die_together_are_all_started_again(site, tmp_path):
    with Sink(tmp_path / "partner", site.partner, port=site.partner_port) as partner, RelayProcess(site) as relayd:
        for number in range(5):
            for pid in relayd.processes():
                os.kill(pid, signal.SIGKILL)
            recipient = f"na{number}@partner.example"
            content = mail.message(DOCTOR, [recipient])

            def accepted(recipient: str = recipient, content: bytes = content) -> bool:
                with contextlib.suppress(OSError, smtplib.SMTPException), relayd.hospital() as client:
                    return say(client, DOCTOR, [recipient], content)[0] == 250
                return False

            wait_for(accepted, "mail to be accepted again")
            assert partner.wait_for_receipt(recipient)
        assert relayd.child.returncode is None


@pytest.mark.timeout(300)
def test_a_short_campaign_of_kills_loses_nothing():
    done = subprocess.run(
        [sys.executable, "-m", "scripts.lib.crash", "--rounds", "4", "--seed", "1", "--quiet"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    assert " 0 lost, " in done.stdout.splitlines()[-1]
