"""Which gateway gets a message, and which is next."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
import structlog

from relayd.sms.message import Sent, Sms, SmsResult
from relayd.sms.routing import REST, Gateway, Gateways
from relayd.sms.sender import make_sender
from tests.kit.sms import CODE, NUMBER, SMS, MemoryLedger, configuration, http_gateway
from tests.kit.viewer import HandClock

ACCEPTED, REFUSED, UNREACHABLE, UNCERTAIN = SmsResult


@dataclass
class Scripted:
    """Answers with ``result`` and keeps what it was asked."""

    result: SmsResult = ACCEPTED
    asked: list[Sms] = field(default_factory=list)

    async def open(self):
        return

    async def send(self, sms):
        self.asked.append(sms)
        return Sent(self.result, id="theirs")

    async def close(self):
        return


class Rig:
    def __init__(self, by_prefix=None, failover=("a", "b", "c"), daily=0):
        self.each = {name: Scripted() for name in ("a", "b", "c")}
        self.ledger, self.clock = MemoryLedger(), HandClock()
        gateways = [Gateway(name, sender, daily) for name, sender in self.each.items()]
        self.gateways = Gateways(gateways, failover, by_prefix or {}, self.ledger, self.clock)

    async def send(self, number=NUMBER):
        """The names that were asked, in order, and the result."""
        before = {name: len(one.asked) for name, one in self.each.items()}
        sent = await self.gateways.send(Sms(number, SMS.text, "K7Q"))
        return "".join(n for n, one in self.each.items() if len(one.asked) > before[n]), sent


async def test_the_first_takes_it():
    asked, sent = await Rig().send()
    assert (asked, sent) == ("a", Sent(ACCEPTED, "a", "theirs"))


async def test_the_next_one_is_asked_when_it_surely_was_not_taken():
    rig = Rig()
    rig.each["a"].result = UNREACHABLE
    asked, sent = await rig.send()
    assert (asked, sent.gateway, sent.result) == ("ab", "b", ACCEPTED)


@pytest.mark.parametrize("result", [UNCERTAIN, REFUSED])
async def test_never_after_it_may_have_been_taken_or_was_refused(result):
    rig = Rig()
    rig.each["a"].result = result
    asked, sent = await rig.send()
    assert (asked, sent.gateway, sent.result) == ("a", "a", result)


async def test_when_none_can_be_reached_that_is_told():
    rig = Rig()
    for one in rig.each.values():
        one.result = UNREACHABLE
    asked, sent = await rig.send()
    assert (asked, sent.result) == ("abc", UNREACHABLE)


@pytest.mark.parametrize("result", [UNREACHABLE, UNCERTAIN])
async def test_one_that_failed_is_asked_last_for_a_while(result):
    rig = Rig()
    rig.each["a"].result = result
    await rig.send()
    rig.each["a"].result = ACCEPTED
    rig.each["c"].result = UNREACHABLE
    assert (await rig.send())[0] == "b"
    rig.each["b"].result = UNREACHABLE
    assert (await rig.send())[0] == "abc"  # last isn't never
    rig.clock.pass_(REST)
    assert (await rig.send())[0] == "a"


@pytest.mark.parametrize(
    ("number", "asked"), [("+31612345678", "b"), ("+31972345678", "c"), ("+32470123456", "a"), ("+3", "a")]
)
async def test_the_longest_prefix_counts(number, asked):
    rig = Rig(by_prefix={"+31": ["b"], "+3197": ["c"]}, failover=("a",))
    assert (await rig.send(number))[0] == asked


async def test_a_share_of_a_day_is_kept_and_the_next_one_takes_over():
    rig = Rig(daily=2)
    assert [(await rig.send())[0] for _ in range(7)] == ["a", "a", "b", "b", "c", "c", ""]
    assert (await rig.send())[1].result is UNREACHABLE


async def test_real_gateways_of_one_configuration(tmp_path):
    async with http_gateway(status="503 Service Unavailable") as broken, http_gateway() as sound:
        body = '{"to": "{number}", "text": "{text}", "ref": "{id}"}'
        gateways = {
            "first": {"sender": "http", "url": broken.url, "body": body},
            "second": {"sender": "http", "url": sound.url, "body": body, "answer_id": "messages.0.id"},
        }
        with structlog.testing.capture_logs() as logs:
            sender = make_sender(
                configuration(tmp_path, sms={"gateways": gateways}), ledger := MemoryLedger(), HandClock()
            )
            sent = await sender.send(SMS)
            await sender.close()
    assert sent == Sent(ACCEPTED, "second", "gw-1")
    assert ledger.taken == {"first": 1, "second": 1}
    assert len(broken.bodies) == len(sound.bodies) == 1
    assert NUMBER[1:] not in str(logs)
    assert CODE not in str(logs)


@pytest.mark.parametrize(
    ("behaviour", "result", "name"),
    [
        ({}, ACCEPTED, "gw-1"),
        ({"answer": b"not json"}, ACCEPTED, ""),
        ({"answer": b'{"messages": []}'}, ACCEPTED, ""),
        ({"answer": b" " * 70_000 + b'{"messages": [{"id": "x"}]}'}, ACCEPTED, ""),
        ({"status": "504 Gateway Timeout"}, UNCERTAIN, SMS.id),
        ({"hangs_up": True}, UNCERTAIN, SMS.id),
        ({"status": "402 Payment Required"}, UNREACHABLE, ""),
        ({"status": "400 Bad Request"}, REFUSED, ""),
    ],
)
async def test_what_an_http_gateway_says(tmp_path, behaviour, result, name):
    async with http_gateway(**behaviour) as gateway:
        sms = {"sender": "http", "url": gateway.url, "body": "{text}", "answer_id": "messages.0.id"}
        sender = make_sender(configuration(tmp_path, sms=sms), MemoryLedger(), HandClock())
        assert await sender.send(SMS) == Sent(result, "http", name)
        await sender.close()
