"""What failing mail from outside gets, by what its author's domain asks for and what the operator set."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

import pytest

from policies.authenticity import AuthenticityOptions, AuthenticityPolicy
from relayd.authenticity.observation import FROM_A_FORWARDER
from relayd.authenticity.results import Authentication, Disposition, Dmarc, Result, Spf
from relayd.directory.directory import Origin, Via
from relayd.pipeline.policy import Stage
from relayd.pipeline.verdict import Defer, Hold, Pass, Refuse, Verdict
from tests.kit.judging import STRANGER, ToldAuthenticator, context, listed, mail, peer

NONE, QUARANTINE, REJECT = Disposition
CONTENT = "From: x@bank.example\n\nHi\n"


def dmarc(result: Result, asked: Disposition = NONE, *, known: bool = True) -> Dmarc:
    return Dmarc(result, "bank.example", "bank.example" if known else "", asked)


async def judge(found: Dmarc, origin: Origin = STRANGER, **options: Any) -> tuple[Verdict, int]:
    told = ToldAuthenticator(told=Authentication(Spf(Result.NONE, "x"), dmarc=found))
    policy = AuthenticityPolicy(AuthenticityOptions(**options))
    shown = mail(CONTENT, sender="x@bank.example", origin=origin, by=peer("203.0.113.9"))
    (verdict,) = listed(await policy.judge(shown, Stage.MESSAGE, context(authenticator=told)))
    return verdict, told.asked


LENIENT = {"dmarc_reject": "pass", "dmarc_quarantine": "pass"}
TABLE: list[tuple[Dmarc, dict[str, str], type[Verdict]]] = [
    (dmarc(Result.PASS, REJECT), {}, Pass),
    (dmarc(Result.NONE, known=False), {}, Pass),
    (dmarc(Result.FAIL, NONE), {}, Pass),
    (dmarc(Result.FAIL, QUARANTINE), {}, Hold),
    (dmarc(Result.FAIL, QUARANTINE), {"dmarc_quarantine": "refuse"}, Refuse),
    (dmarc(Result.FAIL, QUARANTINE), {"dmarc_quarantine": "pass"}, Pass),
    (dmarc(Result.FAIL, REJECT), {}, Refuse),
    (dmarc(Result.FAIL, REJECT), {"dmarc_reject": "hold"}, Hold),
    (dmarc(Result.FAIL, REJECT), {"dmarc_reject": "pass"}, Pass),
    (dmarc(Result.TEMPERROR, REJECT), {}, Defer),
    (dmarc(Result.TEMPERROR, QUARANTINE), {}, Defer),
    (dmarc(Result.TEMPERROR, NONE), {}, Pass),
    (dmarc(Result.TEMPERROR, known=False), {}, Defer),
    (dmarc(Result.TEMPERROR, known=False), {"dmarc_reject": "pass"}, Defer),
    (dmarc(Result.TEMPERROR, known=False), LENIENT, Pass),
    (dmarc(Result.TEMPERROR, REJECT), {"dmarc_reject": "pass"}, Pass),
    (Dmarc(Result.PERMERROR), {}, Refuse),
    (Dmarc(Result.PERMERROR), {"several_authors": "hold"}, Hold),
    (Dmarc(Result.PERMERROR), {"several_authors": "pass"}, Pass),
]


@pytest.mark.parametrize(("found", "options", "expected"), TABLE)
async def test_what_it_gets(found: Dmarc, options: dict[str, str], expected: type[Verdict]) -> None:
    verdict, _ = await judge(found, **options)
    assert type(verdict) is expected


async def test_the_replies() -> None:
    verdict, _ = await judge(dmarc(Result.FAIL, REJECT))
    assert isinstance(verdict, Refuse)
    assert (verdict.reply.code, verdict.reply.enhanced) == (550, "5.7.1")
    assert "DMARC" in verdict.reply.text
    assert "bank.example" in verdict.reply.text
    verdict, _ = await judge(dmarc(Result.TEMPERROR, known=False))
    assert isinstance(verdict, Defer)
    assert (verdict.reply.code, verdict.reply.enhanced) == (451, "4.4.3")


@pytest.mark.parametrize("via", [via for via in Via if via is not Via.STRANGER])
async def test_recognised_peers_cost_no_question(via: Via) -> None:
    verdict, asked = await judge(dmarc(Result.FAIL, REJECT), Origin(via, ("clinic",)))
    assert (type(verdict), asked) == (Pass, 0)


@pytest.mark.parametrize("found", [dmarc(Result.FAIL, REJECT), dmarc(Result.TEMPERROR, known=False)])
async def test_a_trusted_forwarder_may_break_what_it_passes_on(found: Dmarc) -> None:
    verdict, _ = await judge(found, trusted_forwarders=[ip_network("203.0.113.0/24")])
    assert verdict == Pass(FROM_A_FORWARDER)
    verdict, _ = await judge(found, trusted_forwarders=[ip_network("198.51.100.0/24")])
    assert not isinstance(verdict, Pass)


async def test_what_was_found_is_the_reason() -> None:
    verdict, _ = await judge(dmarc(Result.PASS))
    assert verdict.reason == "spf=none dkim=none dmarc=pass"
