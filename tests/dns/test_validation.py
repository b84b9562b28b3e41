"""Whether a resolver validates, and what follows when it doesn't."""

from __future__ import annotations

from typing import Any

import pytest

from relayd.dns.records import Answer, Records, Validation
from relayd.dns.resolver import DnsResolver
from relayd.dns.validation import Watch, probe
from tests.kit.lying_dns import LyingDns, Reply

SECURE: Records[Any] = Records(Answer.FOUND, ("192.0.2.1",), True)
INSECURE: Records[Any] = Records(Answer.FOUND, ("192.0.2.1",))
SECURELY_NONE: Records[Any] = Records(Answer.NO_DATA, (), True)
BOGUS: Records[Any] = Records(Answer.BOGUS)
FAILED: Records[Any] = Records(Answer.FAILED)
SILENT: Records[Any] = Records(Answer.TIMEOUT)


@pytest.mark.parametrize(
    ("signed", "broken", "expected"),
    [
        pytest.param(SECURE, BOGUS, Validation.ON, id="as it should be"),
        pytest.param(SECURELY_NONE, BOGUS, Validation.ON, id="a signed name without addresses"),
        pytest.param(SECURE, FAILED, Validation.ON, id="the broken name can't be had"),
        pytest.param(SECURE, SILENT, Validation.ON, id="the broken name's servers are away"),
        pytest.param(INSECURE, BOGUS, Validation.OFF, id="it vouches for nothing"),
        pytest.param(Records(Answer.NO_NAME), INSECURE, Validation.OFF, id="a wall that knows no names"),
        pytest.param(SECURE, INSECURE, Validation.OFF, id="it answers what is broken"),
        pytest.param(SECURE, SECURE, Validation.OFF, id="it vouches for everything"),
        pytest.param(SILENT, INSECURE, Validation.OFF, id="it answers what is broken, the rest is away"),
        pytest.param(SILENT, SILENT, Validation.UNTESTED, id="it is away"),
        pytest.param(FAILED, FAILED, Validation.UNTESTED, id="it can find out nothing"),
        pytest.param(BOGUS, BOGUS, Validation.UNTESTED, id="it takes everything for forged"),
    ],
)
async def test_what_a_test_finds(signed: Records[Any], broken: Records[Any], expected: Validation) -> None:
    async def ask(name: str, kind: str) -> Records[Any]:
        return {"signed.example": signed, "broken.example": broken}[name]

    found = await probe(ask, "signed.example", "broken.example")
    assert found.validation is expected
    assert "example" in found.reason


async def test_a_resolver_that_does_not_validate_is_believed_no_more_until_it_does() -> None:
    async with LyingDns() as server:
        server.say("signed.example", "A", Reply(["192.0.2.1"], secure=True))
        server.say("broken.example", "A", Reply(["192.0.2.2"], secure=True))
        server.say("mx.example", "A", Reply(["192.0.2.3"], secure=True))
        resolver = DnsResolver("127.0.0.1", server.port, timeout=2)
        watch = Watch(resolver, "signed.example", "broken.example")
        assert (await resolver.look_up("mx.example", "A")).secure
        assert (await watch.test()).validation is Validation.OFF
        # Also what was answered, and kept, before.
        assert not (await resolver.look_up("mx.example", "A")).secure
        assert await resolver.known_validation() is Validation.OFF
        server.say("broken.example", "A", Reply(failed=True))
        assert (await watch.test()).validation is Validation.ON
        assert (await resolver.look_up("mx.example", "A")).secure


async def test_a_test_that_finds_nothing_out_changes_nothing() -> None:
    async with LyingDns() as server:
        server.say("signed.example", "A", Reply(["192.0.2.1"], secure=True))
        server.say("broken.example", "A", Reply(failed=True))
        resolver = DnsResolver("127.0.0.1", server.port, timeout=2)
        watch = Watch(resolver, "signed.example", "broken.example")
        await watch.test()
        server.say("signed.example", "A", Reply(failed=True))
        assert (await watch.test()).validation is Validation.UNTESTED
        assert await resolver.known_validation() is Validation.ON


async def test_who_needs_to_know_waits_for_the_first_test() -> None:
    async with LyingDns() as server:
        server.say("signed.example", "A", Reply(["192.0.2.1"], secure=True))
        server.say("broken.example", "A", Reply(failed=True))
        resolver = DnsResolver("127.0.0.1", server.port, timeout=2)
        watch = Watch(resolver, "signed.example", "broken.example")
        watch.start()
        assert resolver.validation is Validation.UNTESTED
        assert await resolver.known_validation() is Validation.ON
        await watch.stop()
