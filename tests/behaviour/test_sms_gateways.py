"""Codes through gateways: the daemon, an HTTP gateway that is broken, an SMSC behind it, a patient with a browser."""

from __future__ import annotations

import asyncio
import re

import pytest

from relayd.sms.text import gsm7_octets
from tests.kit import mail
from tests.kit.browser import Browser
from tests.kit.canaries import Canaries
from tests.kit.daemon import RelayProcess
from tests.kit.sink import Sink
from tests.kit.site import Site
from tests.kit.sms import http_gateway, secret_file
from tests.kit.smsc import deliver_sm, open_smsc, receipt_text
from tests.kit.talk import DOCTOR, say

pytestmark = pytest.mark.behaviour
PATIENT, MOBILE, PASSWORD = "patient@outside.example", "+31612345678", "geheim12"


def open_link(browser, site, relayd, partner):
    """Send a message, open its link and ask for the code."""
    fields = {"X-Relayd-Mobile": f"{PATIENT}; {MOBILE}"}
    with relayd.hospital() as client:
        assert (
            say(client, DOCTOR, [PATIENT], mail.message(DOCTOR, [PATIENT], "Uitslag", "Goed.", headers=fields))[0]
            == 250
        )
    notice = partner.content(partner.wait_for_receipt(PATIENT)).decode().replace("=\r\n", "").replace("=3D", "=")
    browser.open(re.search(rf"{re.escape(site.viewer_url)}/v/[\w-]+", notice)[0])
    browser.submit(browser.forms[0])


def journal(relayd):
    (message,) = [one for one in relayd.json("message", "find", "--recipient", PATIENT) if one["sender"] == DOCTOR]
    return relayd.json("message", "show", message["id"])["journal"]


async def test_a_broken_gateway_the_next_one_and_its_receipt(tmp_path):
    async with http_gateway(status="503 Service Unavailable") as broken, open_smsc() as smsc:
        site = Site(tmp_path)
        place = {"address": f"127.0.0.1:{smsc.port}", "system_id": "zuid", "source": "Zuid", "plaintext": True}
        site.relayd["sms"] = {
            "gateways": {
                "broken": {"sender": "http", "url": broken.url, "body": '{"to": "{number}", "text": "{text}"}'},
                "smsc": {"sender": "smpp", "smpp": place, "secret_file": str(secret_file(tmp_path, PASSWORD))},
            }
        }
        with Sink(tmp_path / "partner", site.partner, port=site.partner_port) as partner, Browser() as browser:
            relayd = RelayProcess(site)
            await asyncio.to_thread(relayd.start)
            try:
                await smsc.until("bind_transceiver")  # before anybody asked for a code
                await asyncio.to_thread(open_link, browser, site, relayd, partner)
                (message,) = smsc.messages
                assert message.short_message.startswith(gsm7_octets("Ziekenhuis Noord: uw code is "))
                assert await smsc.deliver(deliver_sm(1, receipt_text("m1", "DELIVRD"))) == 0
                await asyncio.to_thread(browser.open, browser.url)
                assert "De sms is op de telefoon aangekomen." in browser.text
                form = next(form for form in browser.forms if "code" in form.open_fields)
                await asyncio.to_thread(browser.submit, form, code=message.short_message[-6:].decode())
                events = {one["kind"]: one["facts"] for one in await asyncio.to_thread(journal, relayd)}
                assert events["code-sent"] == {"channel": "sms", "result": "accepted", "gateway": "smsc"}
                assert {"code-delivered", "verified", "opened"} <= events.keys()
                assert len(broken.bodies) == 1
                doctor = await asyncio.to_thread(relayd.cli, "doctor", check=False)
                assert "smsc lets us bind" in doctor.stdout
                assert "broken can be reached" in doctor.stdout
            finally:
                await asyncio.to_thread(relayd.stop)
        await smsc.until("unbind")
    assert PASSWORD not in relayd.log
    assert Canaries({"number": MOBILE[1:]}).seen_in(relayd.log.encode(), "the log") == set()
