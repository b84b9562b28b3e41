"""Hosted mail with the real Dovecot and the configuration that we ship: delivered, encrypted at rest, read by IMAP."""

from __future__ import annotations

import imaplib
from collections.abc import Iterator

import pytest
from argon2 import PasswordHasher

from relayd.delivery.mailbox import LmtpRoute
from relayd.delivery.pool import Pool
from relayd.delivery.routes import lmtp_hop
from relayd.dns.resolver import DnsResolver
from relayd.mail.address import parse_address
from relayd.queue.outcome import Result
from relayd.settings.accounts import AccountLine
from relayd.tls.contexts import ClientTls
from tests.kit.dovecot import Dovecot, missing
from tests.kit.jobs import Blocks, make_delivery, make_job

NAME, PASSWORD = "jan@hosted.example", "correct horse"
CANARY = b"CANARY-9f2c"

pytestmark = [pytest.mark.behaviour, pytest.mark.skipif(bool(missing()), reason=missing() or "all there")]


@pytest.fixture
def dovecot() -> Iterator[Dovecot]:
    verifier = "{ARGON2ID}" + PasswordHasher().hash(PASSWORD)
    with Dovecot(f"{AccountLine(parse_address(NAME), verifier, 'hosted')}\n") as dovecot:
        yield dovecot


async def test_hosted_mail_is_encrypted_at_rest_and_read_by_imap(dovecot: Dovecot) -> None:
    pool = Pool("relay.example", ClientTls(), DnsResolver(), per_hop=2, total=4, idle=30)
    accounts = {NAME: NAME, "alias@hosted.example": NAME, "gone@hosted.example": "gone@hosted.example"}
    route = LmtpRoute(lmtp_hop(f"unix:{dovecot.lmtp}"), pool, accounts.get)
    content = b"From: a@hospital.example\r\nTo: jan@hosted.example\r\nSubject: " + CANARY
    content += b"\r\n\r\n" + (CANARY + b"\r\n.dots\r\n") * 500
    deliveries = [
        make_delivery(number, name, route="mailbox", target="hosted")
        for number, name in enumerate((NAME, "gone@hosted.example", "alias@hosted.example"))
    ]
    outcomes = await route.deliver(make_job(*deliveries, content=Blocks(content)))
    await route.close()
    log = dovecot.log
    assert [o.result for o in outcomes] == [Result.DELIVERED, Result.FAILED, Result.DELIVERED], log
    assert outcomes[1].status == "5.1.1"

    # The alias is the same mailbox, and Dovecot stores one copy of one transaction there.
    assert len([path for path in dovecot.files if path.parent.name == "new"]) == 1
    assert not [path for path in dovecot.files if CANARY in path.read_bytes()]

    with pytest.raises(imaplib.IMAP4.error), dovecot.imap(NAME, "wrong"):
        pass
    messages = dovecot.messages(NAME, PASSWORD)
    assert len(messages) == 1
    assert messages[0].endswith(content), log
