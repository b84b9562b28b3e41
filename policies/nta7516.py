"""The way to others that work compliant with NTA 7516, the Dutch norm for secure e-mail in healthcare.

Both sides must be: the sending organisation by its own entry in the register, the recipient's domain by the record that
it publishes in signed DNS, or by a local entry that allows it. A local entry that denies always wins. The norm forbids
moving to something weaker (NTA 7516 §6.1.2), so everyone else is left to the Viewer, and what took this way waits or
expires to its sender.

What comes in from others by this way is checked, and the header that says so is believed only when all of it holds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import date
from enum import StrEnum

from pydantic import Field

from relayd.directory.nta7516 import NtaStanding, standing, today
from relayd.mail.address import Domain
from relayd.mail.reply import Reply
from relayd.pipeline.nta_received import Received, author_domain, check_received, claims
from relayd.pipeline.policy import Context, Mail, Options, Policy, Stage
from relayd.pipeline.verdict import Defer, Hold, Pass, Refuse, Rewrite, RouteKind, RouteTarget, RouteTo, Verdict

_LATER = Reply(451, "4.4.3", "Whether this recipient works by NTA 7516 can't be looked up now; try again later")
_LATER_IN = Reply(451, "4.4.3", "Whether this message came by NTA 7516, as it says, can't be looked up now; try again")
_REFUSED = Reply(550, "5.7.1", "This message says that it came by NTA 7516, and doesn't meet what that asks of it")


class Failing(StrEnum):
    """What becomes of a message that says it came by NTA 7516 and did not."""

    STRIP = "strip"
    HOLD = "hold"
    REFUSE = "refuse"


class Nta7516Options(Options):
    """What can be set in policies.yaml."""

    failing: Failing = Field(
        Failing.STRIP,
        description="What a stranger's message gets that carries the header and fails a check. strip: the header goes, "
        "and the message is delivered like any other. hold: an operator looks first. refuse: 550.",
    )


class Nta7516Policy(Policy[Nta7516Options]):
    """Says the route of recipients whose domain is compliant, for senders who are, and checks what comes in."""

    name = "nta7516"
    stages = frozenset({Stage.MESSAGE, Stage.ROUTE})
    Options = Nta7516Options

    async def judge(self, mail: Mail, stage: Stage, context: Context) -> Verdict | list[Verdict]:
        if stage is Stage.MESSAGE:
            return await _received(mail, context, self.options.failing)
        return await _routes(mail, context)


async def _received(mail: Mail, context: Context, failing: Failing) -> Verdict | list[Verdict]:
    """What the header between providers is worth on this message. Only for strangers is DNS asked."""
    provider, headers = context.directory.nta_provider, mail.headers
    name, _ = provider.header
    claimed = headers is not None and claims(headers, provider)
    if mail.origin.recognised or headers is None:
        return _strip(name) if claimed else []
    if name and not claimed:
        return Pass("doesn't say that it came by NTA 7516")
    author = author_domain(headers)
    found = await _standing(author, today(context.clock.now()), context) if author else None
    if not claimed and (found is None or found.compliant is False):
        return Pass(found.reason if found else "has no one author's domain, so NTA 7516 isn't asked about")
    authentication = await context.authenticator.authenticate(mail)
    received = check_received(mail.peer, headers, provider, found, authentication)
    return _judged(received, name if claimed else "", failing)


def _judged(received: Received, claimed: str, failing: Failing) -> Verdict | list[Verdict]:
    """What follows from the checks; ``claimed`` names the header that the message carries, "" when it doesn't."""
    reason = str(received)
    if not claimed or received.compliant:
        return Pass(reason)
    if received.compliant is None:
        return Defer(reason, reply=_LATER_IN)
    if failing is Failing.REFUSE:
        return Refuse(reason, reply=_REFUSED)
    return [_strip(claimed), Hold(reason) if failing is Failing.HOLD else Pass(reason)]


def _strip(name: str) -> Rewrite:
    return Rewrite(f"{name} is put here alone, on what leaves by NTA 7516", drop=(name.lower(),))


async def _routes(mail: Mail, context: Context) -> Verdict | list[Verdict]:
    """The route of each compliant domain's recipients, and the header for their copies."""
    day = today(context.clock.now())
    if why_not := _sender_is_not(mail, context, day):
        return Pass(why_not)
    keys: dict[Domain, list[str]] = {}
    for recipient in mail.recipients:
        keys.setdefault(recipient.address.domain, []).append(recipient.address.key)
    found = await asyncio.gather(*(_standing(domain, day, context) for domain in keys))
    verdicts = [_verdict(domain, tuple(keys[domain]), one) for domain, one in zip(keys, found, strict=True)]
    return verdicts + _marked(verdicts, context)


def _sender_is_not(mail: Mail, context: Context, day: date) -> str:
    """Why the sender's side isn't compliant; "" when it is."""
    organisation = context.directory.organisations.get(mail.origin.organisation or "")
    if organisation is None:
        return "not from one of our organisations"
    own = context.directory.nta_provider.own.get(organisation.id)
    if own is None:
        return f"{organisation.id} has no entry of its own in the NTA 7516 register"
    if not own.valid_on(day):
        return f"{organisation.id} is compliant with NTA 7516 from {own.start} to {own.end}, and so not today"
    headers = mail.headers
    authors = headers.addresses("from") if headers is not None and not headers.address_defects("from") else []
    if not authors or not all(author.domain in organisation.domains for author in authors):
        # The other side looks for the record of the domain that its reader sees.
        return f"the author's domain isn't one of {organisation.id}'s own, which alone its NTA 7516 entry speaks for"
    return ""


async def _standing(domain: Domain, day: date, context: Context) -> NtaStanding:
    entry = context.directory.nta.get(domain)
    if entry is not None and entry.counts_on(day):
        return entry.standing
    return standing(await context.nta.look_up(domain), day)


def _verdict(domain: Domain, keys: tuple[str, ...], found: NtaStanding) -> Verdict:
    if found.compliant is None:
        return Defer(found.reason, keys, reply=_LATER)
    if not found.compliant:
        return Pass(found.reason, keys)
    return RouteTo(found.reason, keys, route=RouteTarget(RouteKind.RELAY, f"nta:{domain}"))


def _marked(verdicts: Iterable[Verdict], context: Context) -> list[Verdict]:
    """The header that tells the other provider by which way these copies came."""
    name, value = context.directory.nta_provider.header
    keys = tuple(key for one in verdicts if isinstance(one, RouteTo) for key in one.recipients)
    if not name or not keys:
        return []
    line = f"{name}: {value}\r\n".encode("ascii")
    return [Rewrite("goes the NTA 7516 way", keys, drop=(name.lower(),), put=line)]
