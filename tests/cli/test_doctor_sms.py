"""`relayd doctor` on text messages: gateways that are asked without sending, shares of a day, fraud."""

from __future__ import annotations

import asyncio

import pytest

from relayd.cli.doctor_sms import fraud, shares, sms_gateways, sms_use
from relayd.cli.findings import Level
from relayd.clock import SystemClock
from relayd.store.viewer_sms import Country
from tests.kit.ports import free_port
from tests.kit.sms import configuration, http_gateway, secret_file
from tests.kit.smsc import open_smsc
from tests.kit.viewer import open_site


async def levels(tmp_path, sms, **changes):
    return [(one.level, one.text) for one in await sms_gateways(configuration(tmp_path, sms=sms, **changes))]


def smpp(tmp_path, port):
    place = {"address": f"127.0.0.1:{port}", "system_id": "zuid", "source": "Zuid", "plaintext": True}
    return {"sender": "smpp", "smpp": place, "secret_file": secret_file(tmp_path, "geheim12")}


async def test_gateways_are_reached_without_a_message(tmp_path):
    async with open_smsc() as smsc, http_gateway() as gateway:
        gateways = {"one": smpp(tmp_path, smsc.port), "two": {"sender": "http", "url": gateway.url, "body": "{text}"}}
        found = await levels(tmp_path, {"gateways": gateways})
        assert found == [(Level.OK, "one lets us bind"), (Level.OK, "two can be reached")]
        # As a transmitter: the receipts of the running relayd don't come here.
        assert smsc.binds == [("bind_transmitter", "zuid", "geheim12")]
        assert smsc.messages == gateway.bodies == []


async def test_one_that_is_away_is_told(tmp_path):
    gateways = {
        "one": smpp(tmp_path, free_port()),
        "two": {"sender": "http", "url": f"http://127.0.0.1:{free_port()}/", "body": "{text}"},
    }
    found = await levels(tmp_path, {"gateways": gateways})
    assert [level for level, _ in found] == [Level.BAD, Level.BAD]
    assert all("can't be reached" in text for _, text in found)


@pytest.mark.parametrize(("status", "level", "words"), [(0x0E, Level.BAD, "0xe"), (0x05, Level.OK, "bound already")])
async def test_a_bind_that_is_refused_is_told(tmp_path, status, level, words):
    async with open_smsc(bind_status=status) as smsc:
        ((found, text),) = await levels(tmp_path, smpp(tmp_path, smsc.port))
    assert found is level
    assert words in text


async def test_no_gateway_is_told_only_where_there_is_a_viewer(tmp_path):
    assert await levels(tmp_path, {}) == [(Level.WARN, "no gateway: codes can't be sent")]
    assert await levels(tmp_path, {}, viewer={"enabled": False}) == []


@pytest.mark.parametrize(("used", "level"), [(0, Level.OK), (79, Level.OK), (80, Level.WARN), (100, Level.BAD)])
def test_how_much_of_a_day_is_used(tmp_path, used, level):
    sms = configuration(tmp_path, sms={"gateways": {"one": {"per_day": 100}, "two": {}}}).sms
    (found,) = shares(sms, {"one": used})
    assert (found.level, found.text) == (level, f"one was given {used} of the 100 messages of its day")


def test_fraud_is_told_by_country():
    (found,) = fraud([Country("BE", 19, 0), Country("LU", 20, 6), Country("NL", 40, 2)])
    assert found.level is Level.WARN
    assert "40 messages to NL" in found.text


def test_the_store_is_asked_where_there_is_one(tmp_path):
    async def fill():
        async with open_site(tmp_path) as site:
            site.clock.at = SystemClock().now()
            for number in range(20):
                await site.person().ask(await site.deposit(mobile=f"+316123456{number:02d}"))

    asyncio.run(fill())
    (found,) = sms_use(configuration(tmp_path))
    assert "20 messages to NL within an hour, and 0 right codes" in found.text
    assert list(sms_use(configuration(tmp_path / "nothing"))) == []
