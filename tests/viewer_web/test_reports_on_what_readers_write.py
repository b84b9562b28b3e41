"""Reports on what readers write come back to them, once for each time; and what others get to know of a reader's
addresses is worth nothing to them."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import AsyncIterator
from email import message_from_bytes
from email.policy import SMTP

import pytest

from relayd.daemon.viewer_addresses import ViewerAddresses
from relayd.delivery.bounce import BounceRoute
from relayd.delivery.installation import digest
from relayd.delivery.notices import Notices
from relayd.directory.directory import Delivers, DomainEntry
from relayd.mail.address import Domain
from relayd.mail.meta import HeaderPatch, MessageMeta
from relayd.queue.outcome import Job
from relayd.store.records import Delivery, Settlement, State
from tests.kit.viewer import DOCTOR, PATIENT, Site, open_site, stored
from tests.viewer_web.test_answering import write
from tests.viewer_web.test_passing_on import MEMBER, pass_on, reader
from viewer_web.app import create_app


@pytest.fixture
async def site(tmp_path):
    async with open_site(tmp_path) as site:
        directory = dataclasses.replace(
            site.services.directory(),
            domainbook={Domain("praktijk.example"): DomainEntry(Domain("praktijk.example"), Delivers.RELAY)},
        )
        services = dataclasses.replace(site.services, directory=lambda: directory)
        yield dataclasses.replace(site, services=services, app=create_app(services))


REPORT = """\
From: MAILER-DAEMON@elders.example
To: {to}
Subject: Undelivered
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary=R

--R
Content-Type: text/plain

Sorry.
--R
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.elders.example

Final-Recipient: rfc822; {about}
Action: failed
Status: 5.2.1

--R--
"""


@dataclasses.dataclass
class Octets:
    data: bytes

    @property
    def size(self) -> int:
        return len(self.data)

    async def blocks(self) -> AsyncIterator[bytes]:
        yield self.data


async def report(site: Site, to: str, about: str) -> None:
    """Somebody's mail server reports to ``to`` that ``about`` couldn't be delivered to."""
    content = REPORT.format(to=to, about=about).replace("\n", "\r\n").encode()
    meta = MessageMeta(head_length=content.index(b"\r\n\r\n") + 2)
    new = await stored(site.vault, site.blobs, site.clock, content, meta, "zuid", "", to, owner="worker")
    await site.store.accept(new)
    message, deliveries = await site.store.message(new.id), await site.store.deliveries(new.id)
    configuration, directory = site.services.configuration, site.services.directory
    route = BounceRoute(
        site.store,
        site.composer,
        Reporter(),
        Notices(configuration),
        directory,
        site.clock,  # type: ignore[arg-type]
    )
    (outcome,) = await route.deliver(
        Job(message, tuple(deliveries), HeaderPatch(), Octets(content), meta, lambda: True)
    )
    done = Settlement(
        message_id=new.id,
        number=0,
        generation=deliveries[0].generation,
        state=State.DELIVERED,
        follow_ups=outcome.follow_ups,
        operations=outcome.operations,
    )
    assert await site.store.settle([done]) == [True]


class Reporter:
    async def report(self, message: object, content: object, reported: list[Delivery]) -> None:
        """The sender's own report: nothing is written here."""
        return


def notices_since(site: Site, before: int) -> list:
    return [message_from_bytes(one, policy=SMTP) for one in site.composer.sent[before:]]


async def test_what_was_passed_on_and_didnt_arrive_comes_back_to_its_reader_once(site):
    person = await reader(site)
    await pass_on(person, MEMBER)
    (path, _, _), before = site.outbox.sent[-1], len(site.composer.sent)
    for _ in range(3):
        await report(site, path, MEMBER)
    (notice,) = notices_since(site, before)
    assert notice["to"] == PATIENT
    assert "doorgestuurd is niet aangekomen" in notice["subject"]
    assert (await site.kinds(person.deposited.message_id))[-1] == "forward-failed"


async def test_an_answer_that_didnt_arrive_comes_back_once(site):
    person = await reader(site)
    await write(person)
    (path, _, _), before = site.outbox.sent[-1], len(site.composer.sent)
    for _ in range(3):
        await report(site, path, DOCTOR)
    (notice,) = notices_since(site, before)
    assert notice["to"] == PATIENT
    assert "niet aangekomen" in notice["subject"]
    assert (await site.kinds(person.deposited.message_id)).count("reply-failed") == 1


async def test_nobody_is_told_of_an_answer_that_was_never_written(site):
    person = await reader(site)
    await pass_on(person, MEMBER)
    before = len(site.composer.sent)
    tokens = await site.secrets.tokens()
    local = tokens.local_part("bounce", person.base.removeprefix("/g/"))
    await report(site, f"{local}@replies.viewer.example.nl", DOCTOR)
    assert not notices_since(site, before)


async def test_whoever_got_it_knows_no_address_by_which_the_sender_is_deceived(site):
    person = await reader(site)
    await pass_on(person, MEMBER)
    path, _, octets = site.outbox.sent[-1]
    await report(site, path, PATIENT)
    assert "notification-failed" not in await site.kinds(person.deposited.message_id)
    tokens = await site.secrets.tokens()
    grant = person.base.removeprefix("/g/")
    for kind in ("reply", "bounce"):
        address = tokens.address(kind, grant)
        assert address not in path
        assert address.encode() not in octets
    assert not re.search(rb"\b[rn]\.[a-z2-7]{26}@", octets)


async def test_an_answer_to_what_was_passed_on_goes_to_its_reader_and_to_no_address_of_ours(site):
    person = await reader(site)
    await pass_on(person, MEMBER)
    path, _, octets = site.outbox.sent[-1]
    mail = message_from_bytes(octets, policy=SMTP)
    assert mail["reply-to"] == PATIENT
    addresses = ViewerAddresses(site.store, site.vault, site.clock)
    assert await addresses.look_up(mail["from"].addresses[0].username) is None
    found = await addresses.look_up(path.partition("@")[0])
    assert (found.organisation, found.reader) == ("zuid", None)
    assert path.startswith("f.")
    assert await site.store.call("viewer_grant_by_address", kind="reply", token_hash=digest(path[2:28])) is None
