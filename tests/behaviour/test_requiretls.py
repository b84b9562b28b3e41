"""REQUIRETLS and TLS-Required: No through the whole of relayd (RFC 8689)."""

from __future__ import annotations

import pytest

from tests.kit import mail
from tests.kit.talk import ANNA, BRAM
from tests.kit.wait import wait_for

pytestmark = pytest.mark.behaviour


def mailbox(stage, address: str) -> list[bytes]:
    return [path.read_bytes() for path in (stage.site.mailbox(address) / "new").glob("*")]


def send(stage, recipient: str, content: bytes, *options: str) -> tuple[int, bytes]:
    with stage.relayd.submission(ANNA) as client:
        client.ehlo()
        assert client.has_extn("requiretls")
        assert client.mail(ANNA, options)[0] == 250
        assert client.rcpt(recipient)[0] == 250
        return client.data(content)


def test_a_next_hop_without_it_gets_nothing_and_the_sender_hears_so(stage):
    content = mail.message(ANNA, ["iemand@partner.example"], text="CANARY of requiretls")
    code, reply = send(stage, "iemand@partner.example", content, "REQUIRETLS", "RET=FULL")
    assert code == 250
    name = mail.message_id_of(content)

    def report():
        return next((one for one in mailbox(stage, ANNA) if name.encode() in one), None)

    found = wait_for(report, "the report")
    assert b"Status: 5.7.30" in found
    assert b"CANARY of requiretls" not in found
    assert not any(receipt.message_id == name for receipt in stage.partner.receipts)
    shown = stage.relayd.json("message", "show", reply.decode().split()[-1])
    assert shown["require_tls"] is True


def test_a_mailbox_here_is_the_end_of_the_way(stage):
    content = mail.message(ANNA, [BRAM])
    assert send(stage, BRAM, content, "REQUIRETLS")[0] == 250
    name = mail.message_id_of(content).encode()
    wait_for(lambda: any(name in one for one in mailbox(stage, BRAM)), "the message in the mailbox")


def test_who_must_send_securely_can_not_ask_for_less(stage):
    content = mail.message(ANNA, [BRAM], headers={"TLS-Required": "No"})
    code, reply = send(stage, BRAM, content)
    assert (code, reply[:5]) == (550, b"5.7.1")
    assert b"TLS-Required" in reply
    assert send(stage, BRAM, content, "REQUIRETLS")[0] == 250
