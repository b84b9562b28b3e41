"""Tries a pipeline on sample messages before it replaces the one in force.

What a policy decides about them doesn't matter; that it decides without failing does.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import ip_address
from typing import Final

from relayd.clock import Clock
from relayd.directory.directory import STRANGER, Directory, Origin, Via
from relayd.errors import Problem
from relayd.mail.address import NULL_SENDER, Address, Domain
from relayd.mail.envelope import Listener, Peer, Recipient, TlsFacts
from relayd.pipeline.plan import Judged
from relayd.pipeline.policy import Context, Mail
from relayd.pipeline.runner import Pipeline, Step
from relayd.pipeline.sample import MemoryLimits, NothingInside, envelope_mail, with_content
from relayd.settings.load import POLICIES, Loaded

_PLAIN: Final = b"""\
From: Sample <sample@sample.invalid>
To: other@sample.invalid
Subject: =?utf-8?q?Voorbeeld?= [sms:+31600000000]
Date: Thu, 01 Jan 2026 12:00:00 +0100
Message-ID: <sample@sample.invalid>

A sample.
"""
_MIXED: Final = b"""\
From: Sample <sample@sample.invalid>
To: Some People:other@sample.invalid, third@sample.invalid;
Subject: Sample
Date: Thu, 01 Jan 2026 12:00:00 +0100
Message-ID: <mixed@sample.invalid>
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary="b"

--b
Content-Type: multipart/alternative; boundary="c"

--c
Content-Type: text/plain; charset=utf-8

Text
--c
Content-Type: text/html; charset=utf-8

<p>Text
--c--
--b
Content-Type: application/octet-stream; name="sample.bin"
Content-Disposition: attachment; filename="sample.bin"
Content-Transfer-Encoding: base64

AAECAwQ=
--b--
"""
_BROKEN: Final = b"no header at all\n"


async def try_out(pipeline: Pipeline, loaded: Loaded, directory: Directory, clock: Clock) -> list[Problem]:
    """Every policy that fails on a sample, as a problem of its place in policies.yaml."""
    source = loaded.sources[POLICIES]
    problems = []
    for number, step in enumerate(pipeline.steps):
        context = Context(directory, MemoryLimits(clock), NothingInside(), clock)
        if failed := await _first_failure(step, _samples(directory), context):
            text = f"the policy {failed.policy} fails on a sample message ({failed.error}, stage {failed.stage})"
            problems.append(source.problem([number], text))
    return problems


async def _first_failure(step: Step, samples: Iterable[Mail], context: Context) -> Judged | None:
    alone = Pipeline((step,))  # so that no refusal of another policy hides this one
    for mail in samples:
        judged = [*await alone.judge_sender(mail, context), *await alone.judge_recipient(mail, context)]
        judged += (await alone.judge_message(mail, context)).judged
        judged += (await alone.judge_routes(mail, context)).judged
        if failed := next((one for one in judged if one.error), None):
            return failed
    return None


def _samples(directory: Directory) -> Iterator[Mail]:
    peer = Peer(ip_address("192.0.2.1"), 25000, Listener.RELAY, "sample.invalid", tls=TlsFacts("TLSv1.3", "sample"))
    recipient = Recipient(Address("other", Domain("sample.invalid")))
    domains = list(directory.domainbook)[:1]
    recipients = (recipient, *(Recipient(Address("someone", domain)) for domain in domains))
    origins = [STRANGER, *(Origin(Via.NETWORK, (name,)) for name in list(directory.organisations)[:1])]
    for origin in origins:
        for sender in (Address("sample", Domain("sample.invalid")), NULL_SENDER):
            for content in (_PLAIN, _MIXED, _BROKEN):
                yield with_content(envelope_mail(peer, origin, sender, recipients), content)
