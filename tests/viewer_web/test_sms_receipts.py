"""Text messages from the store's and the reader's side: receipts, shares of gateways, the watch for fraud."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import math
from contextlib import asynccontextmanager
from dataclasses import replace

import httpx
import pytest
from structlog.testing import capture_logs

from relayd.sms.sender import make_sender
from relayd.store.viewer_sms import SmsLedger
from relayd.telemetry.metrics import SMS_BY_COUNTRY, SMS_FRAUD, Board
from tests.kit.canaries import Canaries
from tests.kit.sms import http_gateway, secret_file
from tests.kit.smsc import deliver_sm, open_smsc, receipt_text
from tests.kit.viewer import MOBILE, ORIGIN, open_site
from viewer_web.app import create_app

SECRET = "s3cret-of-the-gateway"
BODY = '{"to": "{number}", "text": "{text}", "ref": "{id}"}'


def signed(body, secret=SECRET):
    return {"x-signature": hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}


@asynccontextmanager
async def site_with_gateway(folder, networks=(), **behaviour):
    """A Viewer whose codes go through a gateway on this machine, which signs its receipts."""
    folder.mkdir(exist_ok=True)
    receipts = {"secret_file": secret_file(folder, SECRET), "signature_header": "X-Signature", "networks": networks}
    async with http_gateway(**behaviour) as gateway:
        sms = {"sender": "http", "url": gateway.url, "body": BODY, "receipts": receipts}
        async with open_site(folder, sms=sms) as site:
            yield with_sender(site), gateway


def with_sender(site):
    """The site with the gateways of its configuration instead of a phone."""
    services = site.services
    sender = make_sender(services.configuration, SmsLedger(site.store), site.clock)
    services = replace(services, sms=sender)
    return replace(site, services=services, app=create_app(services))


async def report(site, status, name, *, headers=None, gateway="http", body=None, client=("192.0.2.7", 40000)):
    body = json.dumps({"id": name, "status": status}).encode() if body is None else body
    transport = httpx.ASGITransport(site.app, raise_app_exceptions=False, client=client)
    async with httpx.AsyncClient(transport=transport, base_url=ORIGIN) as http:
        return await http.post(
            f"/sms/receipts/{gateway}",
            content=body,
            headers={"content-type": "application/json"} | (signed(body) if headers is None else headers),
        )


def sent_id(gateway, which=-1):
    return json.loads(gateway.bodies[which])["ref"]


async def test_a_receipt_is_shown_on_reload_and_told_once_in_the_journal(tmp_path):
    async with site_with_gateway(tmp_path) as (site, gateway):
        sent = await site.deposit()
        person = site.person()
        page = await person.ask(sent)
        assert "op de telefoon aangekomen" not in page.text
        for _ in range(3):  # gateways repeat themselves, and so do thieves
            assert (await report(site, "delivered", sent_id(gateway))).status_code == 204
        page = await person.get(f"{person.base}/code")
        assert "De sms is op de telefoon aangekomen." in page.text
        assert (await site.kinds(sent.message_id))[-2:] == ["code-sent", "code-delivered"]
        event = next(event for event in await site.events(sent.message_id) if event.kind == "code-sent")
        assert event.facts == {"channel": "sms", "result": "accepted", "gateway": "http"}


async def test_an_sms_that_was_lost_is_told_with_what_to_do(tmp_path):
    async with site_with_gateway(tmp_path) as (site, gateway):
        sent = await site.deposit()
        person = site.person()
        await person.ask(sent)
        await report(site, "undelivered", sent_id(gateway))
        page = await person.get(f"{person.base}/code")
        assert "eindigt op 78 is niet aangekomen" in page.text
        assert "Ziekenhuis Zuid" in page.text
        assert "<details open>" in page.text
        assert (await site.kinds(sent.message_id))[-1] == "code-lost"
        site.clock.pass_(61)
        await person.press("/resend")
        assert "niet aangekomen" not in person.page.text  # that was the one before
        code = json.loads(gateway.bodies[-1])["text"][-6:]
        assert (await person.enter(code)).url.path == person.base


async def test_arrived_is_final_and_lost_is_not(tmp_path):
    async with site_with_gateway(tmp_path) as (site, gateway):
        sent = await site.deposit()
        await site.person().ask(sent)
        for status in ("failed", "delivered", "failed", "delivered"):
            await report(site, status, sent_id(gateway))
        assert (await site.kinds(sent.message_id))[-2:] == ["code-lost", "code-delivered"]


async def test_a_receipt_may_come_before_the_answer_is_kept(tmp_path):
    async with site_with_gateway(tmp_path) as (site, gateway):
        sent = await site.deposit()
        person = site.person()
        await person.get(sent.path)
        real_call = site.store.call

        async def slow(operation, **arguments):
            if operation == "viewer_sms_result":
                await report(site, "delivered", sent_id(gateway))
            return await real_call(operation, **arguments)

        site.store.call = slow
        page = await person.press("/v/")
        assert "De sms is op de telefoon aangekomen." in page.text
        assert (await site.kinds(sent.message_id))[-2:] == ["code-sent", "code-delivered"]


async def test_an_sms_whose_answer_was_lost_may_have_arrived_after_all(tmp_path):
    async with site_with_gateway(tmp_path, hangs_up=True) as (site, gateway):
        sent = await site.deposit()
        person = site.person()
        page = await person.ask(sent)
        assert "kon niet worden verstuurd" in page.text
        await report(site, "delivered", sent_id(gateway))
        page = await person.get(f"{person.base}/code")
        assert "kon niet worden verstuurd" not in page.text
        assert "De sms is op de telefoon aangekomen." in page.text


async def test_nobody_else_can_report_or_learn_anything(tmp_path):
    async with site_with_gateway(tmp_path, networks=("192.0.2.0/24",)) as (site, gateway):
        sent = await site.deposit()
        await site.person().ask(sent)
        name = sent_id(gateway)
        body = json.dumps({"id": name, "status": "delivered"}).encode()
        refused = [
            await report(site, "delivered", name, headers={}),
            await report(site, "delivered", name, headers=signed(body, "other")),
            await report(site, "failed", name, headers=signed(body)),
            await report(site, "delivered", name, gateway="smpp"),
            await report(site, "delivered", name, client=("198.51.100.1", 40000)),
            await report(site, "delivered", name, client=("", 0)),
        ]
        assert {(answer.status_code, answer.text) for answer in refused} == {(403, "")}
        known, unknown = await report(site, "sent", name), await report(site, "delivered", "0" * 32)
        assert (known.status_code, known.text) == (unknown.status_code, unknown.text) == (204, "")
        assert (await report(site, "", "", body=b"x" * 70_000)).status_code == 413
        assert (await report(site, "", "", body=b"\xff{")).status_code == 204
        assert "code-delivered" not in await site.kinds(sent.message_id)


async def test_looking_at_the_door_changes_nothing(tmp_path):
    async with site_with_gateway(tmp_path) as (site, gateway):
        sent = await site.deposit()
        await site.person().ask(sent)
        person = site.person()
        assert (await person.get(f"/sms/receipts/http?id={sent_id(gateway)}&status=delivered")).status_code == 405
        assert "code-delivered" not in await site.kinds(sent.message_id)


async def test_a_receipt_over_smpp_reaches_the_page(tmp_path):
    async with open_smsc() as smsc:
        smpp = {"address": f"127.0.0.1:{smsc.port}", "system_id": "zuid", "source": "Zuid", "plaintext": True}
        sms = {"sender": "smpp", "smpp": smpp, "secret_file": secret_file(tmp_path, "geheim12")}
        async with open_site(tmp_path, sms=sms) as plain:
            site = with_sender(plain)
            sent = await site.deposit()
            person = site.person()
            await person.ask(sent)
            assert await smsc.deliver(deliver_sm(1, receipt_text("m1", "UNDELIV"))) == 0
            page = await person.get(f"{person.base}/code")
            await site.services.sms.close()
        assert "is niet aangekomen" in page.text
        assert smsc.messages[0].destination_addr == MOBILE[1:].encode()


async def test_a_share_of_a_day_is_kept_by_all_processes_together(tmp_path):
    async with http_gateway() as gateway:
        small = {"sender": "http", "url": gateway.url, "body": BODY, "per_day": 2}
        large = {"sender": "http", "url": gateway.url, "body": BODY}
        async with open_site(tmp_path, sms={"gateways": {"small": small, "large": large}}) as plain:
            processes = [with_sender(plain), with_sender(plain)]
            deposits = [await plain.deposit(mobile=f"+3161234567{n}") for n in range(6)]
            pages = await asyncio.gather(*(processes[n % 2].person().ask(sent) for n, sent in enumerate(deposits)))
            assert {page.status_code for page in pages} == {200}
            assert await plain.store.call("viewer_sms_gateways") == {"large": 4, "small": 2}
            plain.clock.pass_(86400)
            assert await plain.store.call("viewer_sms_gateways") == {}


async def test_neither_log_nor_store_has_number_code_or_ids_of_gateways(tmp_path):
    async with site_with_gateway(tmp_path) as (site, gateway):
        with capture_logs() as logs:
            sent = await site.deposit()
            await site.person().ask(sent)
            name, text = sent_id(gateway), json.loads(gateway.bodies[0])["text"]
            await report(site, "delivered", name)
            await report(site, "delivered", name, headers={})
            await site.keep_house()
        canaries = Canaries({"number": MOBILE[1:], "last line": text.splitlines()[-1], "id": name, "secret": SECRET})
        assert canaries.seen_in(str(logs).encode(), "the log") == set()
        files = [path for path in site.folder.rglob("*") if path.is_file()]
        assert files
        assert canaries.seen_in_files(files) == set()


async def test_fraud_is_told_when_it_begins_and_shown_while_it_lasts(site):
    board = Board(["web"])
    board.count_here("web")
    house = site.house()
    for number in range(20):
        await site.person().ask(await site.deposit(mobile=f"+316123456{number:02d}"))
    await site.person().read(await site.deposit(mobile="+32470123456"), site.phone)
    with capture_logs() as logs:
        for _ in range(3):
            await house.round()
    assert [(log["event"], log["region"]) for log in logs] == [("viewer.sms_fraud_suspected", "NL")]
    assert board.values(SMS_FRAUD) == {("NL",): 1.0, ("BE",): 0.0}
    assert board.values(SMS_BY_COUNTRY) == {
        ("NL", "sent"): 20.0, ("NL", "used"): 0.0, ("BE", "sent"): 1.0, ("BE", "used"): 1.0,
    }  # fmt: skip
    site.clock.pass_(3600)
    with capture_logs() as logs:
        await house.round()
    assert [(log["event"], log["region"]) for log in logs] == [("viewer.sms_fraud_over", "NL")]
    assert not any(math.isfinite(value) for value in board.values(SMS_FRAUD).values())


@pytest.mark.parametrize("used", [5, 6])
async def test_three_in_ten_right_codes_are_no_fraud(site, used):
    for number in range(20):
        sent = await site.deposit(mobile=f"+316123456{number:02d}")
        person = site.person()
        await (person.read(sent, site.phone) if number < used else person.ask(sent))
    (netherlands,) = await site.store.call("viewer_sms_countries")
    assert (netherlands.sends, netherlands.used, netherlands.suspicious) == (20, used, used == 5)
