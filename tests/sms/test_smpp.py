"""SMS by SMPP, against an SMSC that does as it likes."""

from __future__ import annotations

import asyncio
import logging
import ssl

import pytest
import structlog

from relayd.errors import ConfigurationError
from relayd.settings.sms import SmppSettings
from relayd.sms import smpp_link
from relayd.sms.message import SmsResult
from relayd.sms.sender import make_sender
from relayd.sms.smpp import SmppSender
from relayd.sms.text import gsm7_octets
from tests.kit.ca import Authority
from tests.kit.sms import CODE, NUMBER, SMS, MemoryLedger, configuration, secret_file
from tests.kit.smsc import deliver_sm, open_smsc, pdu, receipt_text
from tests.kit.viewer import HandClock

PASSWORD = "geheim12"


def settings(smsc, **changes):
    base = {"address": f"127.0.0.1:{smsc.port}", "system_id": "zuid", "source": "Zuid", "plaintext": True}
    return SmppSettings(**(base | changes))


@pytest.fixture
async def rig(tmp_path, caplog):
    """An SMSC, a sender bound to it and a ledger; nothing personal may be in any log afterwards."""
    caplog.set_level(logging.DEBUG)
    ledger = MemoryLedger()

    async def heard(receipt):
        await ledger.heard("smpp", receipt)

    async with open_smsc() as smsc:
        sender = SmppSender(settings(smsc), PASSWORD, heard, pause=0.01)
        with structlog.testing.capture_logs() as logs:
            yield smsc, sender, ledger
            await sender.close()
    for secret in (NUMBER[1:], CODE, PASSWORD):
        assert secret not in str(logs) + caplog.text


async def test_a_message_goes_out_as_the_gateway_expects_it(rig):
    smsc, sender, _ = rig
    sent = await sender.send(SMS)
    assert (sent.result, sent.id) == (SmsResult.ACCEPTED, "m1")
    assert smsc.binds == [("bind_transceiver", "zuid", PASSWORD)]
    (message,) = smsc.messages
    assert (message.source_addr_ton, message.source_addr_npi, message.source_addr) == (5, 0, b"Zuid")
    assert (message.dest_addr_ton, message.dest_addr_npi) == (1, 1)
    assert message.destination_addr == NUMBER[1:].encode()
    assert (message.data_coding, message.registered_delivery) == (0, 1)
    # GSM 03.38 §6.2.1 has these elsewhere than ASCII: é $ _ @.
    assert message.short_message == (b'Zuid "zei" \x05\x11\x02: ' + CODE.encode() + b"\n\n\0v.nl #" + CODE.encode())


async def test_a_number_as_source_and_latin_1():
    async with open_smsc() as smsc:
        changed = settings(smsc, source="+3197010", alphabet="latin1")
        sender = SmppSender(changed, PASSWORD, lambda receipt: None)
        await sender.send(SMS)
        await sender.close()
        (message,) = smsc.messages
    assert (message.source_addr_ton, message.source_addr_npi, message.source_addr) == (1, 1, b"3197010")
    assert (message.data_coding, message.short_message) == (3, SMS.text.encode("latin-1"))


@pytest.mark.parametrize(
    ("status", "result"),
    [
        (0x58, SmsResult.UNREACHABLE),  # throttled
        (0x14, SmsResult.UNREACHABLE),  # queue full
        (0x08, SmsResult.UNREACHABLE),  # system error
        (0x45, SmsResult.UNREACHABLE),  # submission failed
        (0x400, SmsResult.UNREACHABLE),  # the gateway's own
        (0x0B, SmsResult.REFUSED),  # destination
        (0x01, SmsResult.REFUSED),  # length
        (0xFFFFFFFF, SmsResult.REFUSED),
    ],
)
async def test_what_a_status_comes_to(rig, status, result):
    smsc, sender, _ = rig
    smsc.status = status
    assert (await sender.send(SMS)).result is result


async def test_an_answer_that_never_comes_leaves_it_uncertain(rig, monkeypatch):
    smsc, sender, _ = rig
    await sender.send(SMS)
    monkeypatch.setattr(smpp_link, "PATIENCE", 0.05)
    smsc.silent = True
    assert (await sender.send(SMS)).result is SmsResult.UNCERTAIN
    smsc.silent = False
    monkeypatch.undo()
    assert (await sender.send(SMS)).result is SmsResult.ACCEPTED


@pytest.mark.parametrize(
    "octets",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\0\0\0\x0f" + bytes(12),
        b"\x7f\xff\xff\xff" + bytes(12),
        pdu(0x06, 9),  # unbind
    ],
)
async def test_what_is_no_smpp_ends_the_bind_and_the_next_message_makes_another(rig, octets):
    smsc, sender, _ = rig
    await sender.send(SMS)
    smsc.instead = octets
    assert (await sender.send(SMS)).result is SmsResult.UNCERTAIN
    smsc.instead = b""
    assert (await sender.send(SMS)).result is SmsResult.ACCEPTED
    assert len(smsc.binds) == 2


async def test_a_connection_that_ends_under_a_message_leaves_it_uncertain(rig):
    smsc, sender, _ = rig
    smsc.hangs_up = True
    assert (await sender.send(SMS)).result is SmsResult.UNCERTAIN
    smsc.hangs_up = False
    assert (await sender.send(SMS)).result is SmsResult.ACCEPTED


async def test_a_gateway_that_lets_nobody_in_took_nothing(rig):
    smsc, sender, _ = rig
    smsc.bind_status = 0x0E
    assert (await sender.send(SMS)).result is SmsResult.UNREACHABLE
    assert smsc.messages == []


async def test_a_gateway_that_does_not_listen_took_nothing():
    async with open_smsc() as smsc:
        gone = settings(smsc)
    sender = SmppSender(gone, PASSWORD, lambda receipt: None)
    assert (await sender.send(SMS)).result is SmsResult.UNREACHABLE
    await sender.close()


async def test_many_at_once_share_one_bind(rig):
    smsc, sender, _ = rig
    sent = await asyncio.gather(*(sender.send(SMS) for _ in range(50)))
    assert {one.result for one in sent} == {SmsResult.ACCEPTED}
    assert len({one.id for one in sent}) == 50
    assert len(smsc.binds) == 1


async def test_it_binds_before_anybody_sends_and_again_when_that_ends(rig):
    smsc, sender, _ = rig
    await sender.open()
    for _ in range(3):
        await smsc.until("bind_transceiver")
        smsc.hang_up()


async def test_a_bind_that_is_refused_is_tried_again(rig):
    smsc, sender, _ = rig
    smsc.bind_status = 0x0E
    await sender.open()
    for _ in range(3):
        await smsc.until("bind_transceiver")


async def test_it_asks_whether_the_gateway_lives_and_answers_the_same(monkeypatch):
    async with open_smsc() as smsc:
        sender = SmppSender(settings(smsc), PASSWORD, lambda receipt: None, idle=0.01, pause=0.01)
        await sender.open()
        await smsc.until("enquire_link")
        smsc.writers[-1].write(pdu(0x15, 77))
        assert (await smsc.until("enquire_link_resp")).sequence == 77
        smsc.writers[-1].write(pdu(0x103, 78))  # data_sm, which nobody uses here
        assert (await smsc.until("generic_nack")).sequence == 78
        monkeypatch.setattr(smpp_link, "PATIENCE", 0.05)
        monkeypatch.setattr("tests.kit.smsc._ANSWERS", {"bind_transceiver": 0x80000009})
        await smsc.until("bind_transceiver")  # it didn't live: a new bind
        await smsc.until("bind_transceiver")
        await sender.close()


@pytest.mark.parametrize(
    ("octets", "heard"),
    [
        (deliver_sm(1, receipt_text("m1", "DELIVRD")), [("smpp", "m1", True)]),
        (deliver_sm(1, receipt_text("m1", "UNDELIV")), [("smpp", "m1", False)]),
        (deliver_sm(1, parameters={0x1E: b"m1\0", 0x427: b"\x02"}), [("smpp", "m1", True)]),
        (deliver_sm(1, parameters={0x1E: b"m1\0", 0x427: b"\x08", 0x1400: b"vendor"}), [("smpp", "m1", False)]),
        (deliver_sm(1, parameters={0x424: receipt_text("m1", "EXPIRED")}), [("smpp", "m1", False)]),
        (deliver_sm(1, receipt_text("m1", "ENROUTE")), []),
        (deliver_sm(1, receipt_text("m1", "ACCEPTD")), []),
        (deliver_sm(1, b"hello"), []),
        (pdu(0x05, 1, b"not a deliver_sm"), []),
        # From a phone, not from the gateway: anybody can write this to our number.
        (deliver_sm(1, receipt_text("m1", "DELIVRD"), esm_class=0), []),
    ],
)
async def test_receipts_are_heard_and_acknowledged(rig, octets, heard):
    smsc, sender, ledger = rig
    await sender.send(SMS)
    assert await smsc.deliver(octets) == 0
    assert ledger.receipts == heard


async def test_a_receipt_that_cannot_be_kept_is_asked_for_again(rig):
    smsc, sender, ledger = rig
    await sender.send(SMS)
    ledger.away = True
    receipt = deliver_sm(1, receipt_text("m1", "DELIVRD"))
    assert await smsc.deliver(receipt) == 0x08
    ledger.away = False
    assert await smsc.deliver(receipt) == 0
    assert ledger.receipts == [("smpp", "m1", True)]


async def test_it_parts_with_an_unbind(rig):
    smsc, sender, _ = rig
    await sender.send(SMS)
    await sender.close()
    await smsc.until("unbind")


async def test_tls_proves_the_gateway(tmp_path):
    known, stranger = Authority(tmp_path / "known"), Authority(tmp_path / "stranger")
    issued = known.issue("localhost")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(issued.certificate, issued.key)
    async with open_smsc(context) as smsc:
        for authority, host, result in (
            (known, "localhost", SmsResult.ACCEPTED),
            (known, "127.0.0.1", SmsResult.UNREACHABLE),  # another name
            (stranger, "localhost", SmsResult.UNREACHABLE),
        ):
            proven = settings(smsc, address=f"{host}:{smsc.port}", plaintext=False, ca=authority.certificate)
            sender = SmppSender(proven, PASSWORD, lambda receipt: None)
            assert (await sender.send(SMS)).result is result
            await sender.close()
        assert len(smsc.binds) == 1


async def test_the_settings_make_such_a_sender(tmp_path):
    ledger = MemoryLedger()
    async with open_smsc() as smsc:
        smpp = {"address": f"127.0.0.1:{smsc.port}", "system_id": "zuid", "source": "Zuid", "plaintext": True}
        sms = {"sender": "smpp", "smpp": smpp, "secret_file": secret_file(tmp_path, PASSWORD)}
        sender = make_sender(configuration(tmp_path, sms=sms), ledger, HandClock())
        await sender.open()
        sent = await sender.send(SMS)
        assert (sent.result, sent.gateway, sent.id) == (SmsResult.ACCEPTED, "smpp", "m1")
        await smsc.deliver(deliver_sm(1, receipt_text("m1", "DELIVRD")))
        await sender.close()
    assert ledger.receipts == [("smpp", "m1", True)]


@pytest.mark.parametrize(
    ("password", "address", "words"),
    [("123456789", "127.0.0.1:2775", "at most 8"), ("12345678", "smpp.example:2775", "only on this machine")],
)
def test_what_smpp_cannot_carry_is_refused(tmp_path, password, address, words):
    smpp = {"address": address, "system_id": "zuid", "source": "Zuid", "plaintext": True}
    sms = {"sender": "smpp", "smpp": smpp, "secret_file": secret_file(tmp_path, password)}
    with pytest.raises(ConfigurationError, match=words):
        make_sender(configuration(tmp_path, sms=sms), MemoryLedger(), HandClock())


def test_what_the_default_alphabet_does_not_know_becomes_a_question_mark():
    assert gsm7_octets("@£a€\x1b") == b"\0\x01a??"
