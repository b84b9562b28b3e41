"""The way to others that work compliant with NTA 7516, the Dutch norm for secure e-mail in healthcare.

Both sides must be: the sending organisation by its own entry in the register, the recipient's domain by the record that
it publishes in signed DNS, or by a local entry that allows it. A local entry that denies always wins. The norm forbids
moving to something weaker (NTA 7516 §6.1.2), so everyone else is left to the Viewer, and what took this way waits or
expires to its sender.
"""

from __future__ import annotations

from collections.abc import Iterable

from relayd.directory.nta7516 import NtaStanding, today
from relayd.mail.address import Domain
from relayd.mail.reply import Reply
from relayd.pipeline.lookups import look_at_all
from relayd.pipeline.nta_standing import standing_of
from relayd.pipeline.policy import Context, Mail, Options, Policy, Stage
from relayd.pipeline.verdict import Defer, Pass, Rewrite, RouteKind, RouteTarget, RouteTo, Verdict

_LATER = Reply(451, "4.4.3", "Whether this recipient works by NTA 7516 can't be looked up now; try again later")


class Nta7516Policy(Policy[Options]):
    """Says the route of recipients whose domain is compliant, for senders who are."""

    name = "nta7516"
    stages = frozenset({Stage.ROUTE})

    async def judge(self, mail: Mail, stage: Stage, context: Context) -> Verdict | list[Verdict]:
        if why_not := _sender_is_not(mail, context):
            return Pass(why_not)
        keys: dict[Domain, list[str]] = {}
        for recipient in mail.recipients:
            keys.setdefault(recipient.address.domain, []).append(recipient.address.key)
        found = await look_at_all(keys, lambda domain: _look(domain, context), lambda why: NtaStanding(None, why))
        verdicts = [_verdict(domain, tuple(keys[domain]), found[domain]) for domain in keys]
        return verdicts + _marked(verdicts, context)


async def _look(domain: Domain, context: Context) -> NtaStanding:
    """Whether the domain is compliant, and one of the hosts that its record stands for can be proven now."""
    found = await standing_of(domain, context)
    if found.record is None:
        return found  # not compliant, or by an entry, whose hosts prove a name when they are dialled
    way = await context.ways.nta_proven(domain)
    return found if way.proven else NtaStanding(way.proven, f"{found.reason}, but {way.reason}")


def _sender_is_not(mail: Mail, context: Context) -> str:
    """Why the sender's side isn't compliant; "" when it is."""
    organisation = context.directory.organisations.get(mail.origin.organisation or "")
    if organisation is None:
        return "not from one of our organisations"
    own = context.directory.nta_provider.own.get(organisation.id)
    if own is None:
        return f"{organisation.id} has no entry of its own in the NTA 7516 register"
    if not own.valid_on(today(context.clock.now())):
        return f"{organisation.id} is compliant with NTA 7516 from {own.start} to {own.end}, and so not today"
    headers = mail.headers
    authors = headers.addresses("from") if headers is not None and not headers.address_defects("from") else []
    if not authors or not all(author.domain in organisation.domains for author in authors):
        # The other side looks for the record of the domain that its reader sees.
        return f"the author's domain isn't one of {organisation.id}'s own, which alone its NTA 7516 entry speaks for"
    return ""


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
