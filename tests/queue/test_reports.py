"""Reports as they leave: to whom, by which way, and how much of the message they carry."""

from __future__ import annotations

import asyncio
import email
import email.policy
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from relayd.directory.directory import Delivers, Directory, DomainEntry
from relayd.mail.address import Domain
from relayd.queue.outcome import Result
from relayd.queue.reports import Reports
from relayd.settings.models import Configuration
from relayd.store.records import Claimed
from tests.kit.lanes import Site, open_site

HOSPITAL, HOSTED = Domain("hospital.example"), Domain("hosted.example")
NEVER = (Result.FAILED, "5.1.1", "550 5.1.1 nobody")
SECRET = b"From: a@hospital.example\r\nSubject: KNOWNSUBJECT\r\nMessage-ID: <1@x>\r\n\r\nCANARY\r\n"


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    book = {
        HOSPITAL: DomainEntry(HOSPITAL, Delivers.RELAY, next_hops=("mx:25",)),
        HOSTED: DomainEntry(HOSTED, Delivers.MAILBOX, store="box"),
    }
    directory = Directory({}, book, {}, {}, {})
    configuration = Configuration.model_validate(
        {
            "hostname": "relay.example",
            "state": tmp_path,
            "keys": tmp_path,
            "listeners": [{"address": "127.0.0.1:0", "kind": "relay"}],
            "tls": {"certificate": tmp_path / "c", "key": tmp_path / "k"},
        }
    )
    async with open_site(tmp_path, directory) as site:
        in_force = SimpleNamespace(configuration=configuration, directory=directory)
        site.reporter = Reports(site.composer, lambda: in_force, site.clock)
        site.route.by_recipient = {"b@partner.example": NEVER}
        yield site


async def deliver(site: Site, claimed: Claimed) -> None:
    lanes = site.lanes()
    await lanes.start()
    lanes.offer(claimed)
    while site.busy():
        lanes.wake()
        await asyncio.sleep(0.001)
    await lanes.drain()


async def test_a_report_is_a_message_of_its_own_that_reaches_the_sender(site: Site) -> None:
    claimed = await site.accept("b@partner.example", owner="w1", content=SECRET, envid="QQ+2B1", orcpt="rfc822;bob@x")
    await deliver(site, claimed)
    report = email.message_from_bytes(site.route.contents[-1], policy=email.policy.SMTP)
    job = site.route.jobs[-1]
    assert (job.message.sender, job.message.parent) == ("", claimed.message.id)
    assert [(d.recipient, d.target, d.message_class) for d in job.deliveries] == [
        ("a@hospital.example", "hospital.example", "confidential")
    ]
    assert report.get_content_type() == "multipart/report"
    assert "a@hospital.example" in report["To"]
    status = report.get_payload()[1].as_string()  # type: ignore[index, union-attr]
    for expected in ("Original-Envelope-Id: QQ+1", "Original-Recipient: rfc822; bob@x", "Action: failed", "5.1.1"):
        assert expected in status
    assert b"KNOWNSUBJECT" in site.route.contents[-1]
    assert b"CANARY" not in site.route.contents[-1]


async def test_full_return_brings_the_content_back_on_a_proven_way(site: Site) -> None:
    claimed = await site.accept("b@partner.example", owner="w1", content=SECRET, ret="FULL")
    await deliver(site, claimed)
    assert SECRET in site.route.contents[-1]


async def test_a_report_on_mail_with_requiretls_goes_with_it_and_without_the_content(site: Site) -> None:
    """RFC 8689 §5: RET=FULL counts as HDRS."""
    claimed = await site.accept("b@partner.example", owner="w1", content=SECRET, ret="FULL", require_tls=True)
    await deliver(site, claimed)
    assert site.route.jobs[-1].message.require_tls
    assert b"CANARY" not in site.route.contents[-1]


async def test_a_notice_shows_neither_subject_nor_content(site: Site) -> None:
    sender = "someone@elsewhere.example"
    claimed = await site.accept("b@partner.example", owner="w1", content=SECRET, ret="FULL", sender=sender)
    await deliver(site, claimed)
    job, content = site.route.jobs[-1], site.route.contents[-1]
    assert [(d.recipient, d.target, d.message_class) for d in job.deliveries] == [(sender, "", "notice")]
    assert b"<1@x>" in content
    assert b"KNOWNSUBJECT" not in content
    assert b"CANARY" not in content


async def test_a_report_to_a_hosted_mailbox_goes_there(site: Site) -> None:
    claimed = await site.accept("b@partner.example", owner="w1", content=SECRET, sender="p@hosted.example")
    await deliver(site, claimed)
    assert [(d.route, d.target) for d in site.mailbox.jobs[-1].deliveries] == [("mailbox", "box")]


async def test_what_is_no_address_gets_no_report(site: Site) -> None:
    claimed = await site.accept("b@partner.example", owner="w1", content=SECRET, sender="not an address")
    await deliver(site, claimed)
    assert len(site.route.jobs) == 1
