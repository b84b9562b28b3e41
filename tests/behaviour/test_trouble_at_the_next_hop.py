"""What a partner's server may do to us, and what the sender hears of it."""

from __future__ import annotations

import re

import pytest

from tests.kit import mail
from tests.kit.talk import ANNA, DOCTOR, say
from tests.kit.wait import wait_for

pytestmark = pytest.mark.behaviour


def send(stage, *recipients: str) -> str:
    content = mail.message(DOCTOR, recipients)
    with stage.relayd.hospital() as client:
        assert say(client, DOCTOR, recipients, content)[0] == 250
    return mail.message_id_of(content)


@pytest.mark.parametrize("how", ["later", "dotlater"])
def test_what_is_put_off_is_tried_again(stage, how):
    name = send(stage, f"{how}-1@partner.example")
    assert stage.partner.wait_for_receipt(name)


def test_a_lost_reply_costs_a_duplicate_and_never_the_message(stage):
    name = send(stage, "drop-1@partner.example")
    stage.partner.wait_for_receipt(name)
    wait_for(lambda: sum(receipt.message_id == name for receipt in stage.partner.receipts) == 2, "the second try")


def test_one_refused_recipient_does_not_hold_up_the_other(stage):
    name = send(stage, "refuse-1@partner.example", "wel@partner.example")
    assert stage.partner.wait_for_receipt(name).recipients == ["wel@partner.example"]
    report = stage.partner.content(stage.partner.wait_for_receipt(DOCTOR)).decode("utf-8", "replace")
    assert "refuse-1@partner.example" in report
    assert "Status: 5.1.1" in report
    assert re.findall(r"Final-Recipient: rfc822; *(\S+)", report) == ["refuse-1@partner.example"]


def test_a_server_that_proves_another_name_gets_nothing(stage):
    stage.site.domainbook["elders.example"] = {
        "network": "partners",
        "delivers": "relay",
        "next_hops": [f"127.0.0.1:{stage.site.partner_port}"],
        "tls_names": ["mail.elders.example"],
    }
    stage.site.write()
    assert stage.relayd.cli("reload").returncode == 0
    send(stage, "iemand@elders.example")

    def tried():
        return [row for row in stage.relayd.json("queue", "list") if "elders.example" in str(row)]

    wait_for(tried, "a delivery that waits")
    assert not any("iemand@elders.example" in receipt.recipients for receipt in stage.partner.receipts)


def test_a_hosted_address_that_does_not_exist_is_refused_at_the_door(stage):
    with stage.relayd.submission(ANNA) as client:
        code, text = say(client, ANNA, ["niemand@praktijk.example"], mail.message(ANNA, ["niemand@praktijk.example"]))
    assert (code, text[:5]) == (550, "5.1.1")
