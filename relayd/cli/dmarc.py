"""``relayd dmarc``: which DMARC record applies to a domain, what does it ask for, and what is wrong with it?"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from relayd.authenticity.dmarc import DmarcEvaluation, Policy, RecordUnknown, Walked, organisational_domain
from relayd.authenticity.dmarc_record import DmarcRecord
from relayd.authenticity.results import Disposition
from relayd.cli.common import add_config, add_json, print_json
from relayd.cli.outside import domain_of
from relayd.cli.table import printable
from relayd.dns.records import Answer
from relayd.dns.resolver import DnsResolver, Resolver
from relayd.mail.address import Domain
from relayd.settings.load import load
from relayd.settings.values import address_and_port

_EPILOG: Final = """\
examples:
  relayd dmarc partner.example           the walk up its names, the record, what it asks for
  relayd dmarc news.partner.example --json

exit status: 0 a record applies and nothing is wrong with it, 1 none applies, it has mistakes, or DNS doesn't tell
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``dmarc``."""
    parser = commands.add_parser(
        "dmarc",
        help="which DMARC record applies to a domain, and what does it ask for?",
        description="Walk up a domain's names for its DMARC record (RFC 9989) and say what the record asks for.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("domain", metavar="DOMAIN", help="a mail domain: what stands behind the @ in From")
    add_config(parser)
    add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print what was found."""
    domain = domain_of(arguments.domain)
    configuration = load(Path(arguments.config)).configuration
    found = asyncio.run(_examine(configuration.resolver, domain))
    if arguments.json:
        print_json(found.facts())
    else:
        print("\n".join(printable(line) for line in found.lines()))
    return 0 if found.policy is not None and not found.problems else 1


async def _examine(resolver: str, domain: Domain) -> Found:
    return await examine(DnsResolver(*address_and_port(resolver)), domain)


@dataclass(frozen=True, slots=True)
class Found:
    """All about one domain. ``unknown`` is what DNS said instead of an answer, "" when it told everything."""

    domain: Domain
    walked: tuple[Walked, ...]
    organisational: str
    policy: Policy | None
    disposition: Disposition | None
    unknown: str = ""

    @property
    def problems(self) -> tuple[str, ...]:
        several = [
            f"{one.domain} has {len(one.texts)} DMARC records, so that none counts"
            for one in self.walked
            if len(one.texts) > 1
        ]
        record = self.policy.record if self.policy else next((one.record for one in self.walked if one.record), None)
        return (*several, *record.problems, *_weaknesses(record)) if record else tuple(several)

    def lines(self) -> Iterator[str]:
        yield f"names of {self.domain}, from the longest"
        for one in self.walked:
            yield f"  _dmarc.{one.domain}: {_there(one)}"
        yield ""
        if self.unknown:
            yield f"DNS doesn't tell ({self.unknown}): mail of this domain is deferred"
            return
        yield f"organisational domain: {self.organisational}"
        if self.policy is None:
            yield "no record applies: DMARC says nothing about mail of this domain"
            return
        record = self.policy.record
        yield f"the record of {self.policy.policy_domain} applies"
        yield f"mail that fails: {self.disposition}{' (one step less, since t=y: testing)' if record.testing else ''}"
        for name, tag in (("SPF", "aspf"), ("DKIM", "adkim")):
            wanted = "the same domain" if record.strict(tag) else "the same organisational domain"
            yield f"{name} must pass for {wanted} as in From"
        yield f"reports go to: {record.tag('rua') or 'nobody'}"
        yield from (f"wrong: {one}" for one in self.problems)

    def facts(self) -> dict[str, Any]:
        policy = self.policy
        return {
            "domain": self.domain,
            "walk": [
                {
                    "name": f"_dmarc.{one.domain}",
                    "answer": one.answer.value,
                    "records": [text.decode("utf-8", "replace") for text in one.texts],
                }
                for one in self.walked
            ],
            "unknown": self.unknown,
            "organisational_domain": self.organisational,
            "policy_domain": policy.policy_domain if policy else "",
            "disposition": self.disposition.value if self.disposition else "",
            "tags": dict(policy.record.tags) if policy else {},
            "problems": list(self.problems),
        }


async def examine(resolver: Resolver, domain: Domain) -> Found:
    """Ask DNS what DMARC says of ``domain``."""
    evaluation = DmarcEvaluation(resolver)
    try:
        walked = await evaluation.walk(domain)
        policy = await evaluation.policy(domain)
        disposition = await evaluation.disposition(policy) if policy else None
    except RecordUnknown as unknown:
        return Found(domain, evaluation.seen, "", None, None, unknown.answer.value)
    return Found(domain, tuple(walked), organisational_domain(domain, walked), policy, disposition)


def _there(one: Walked) -> str:
    if one.texts:
        return " | ".join(text.decode("utf-8", "replace") for text in one.texts)
    return "no DMARC record" if one.answer in (Answer.FOUND, Answer.NO_DATA) else str(one.answer)


def _weaknesses(record: DmarcRecord) -> Iterator[str]:
    if record.tag("ruf") and not record.tag("rua"):
        yield "it asks for failure reports (ruf=), which are rarely sent, and for no aggregate reports (rua=)"
    if record.tag("fo") and not record.tag("ruf"):
        yield "fo= means nothing without ruf="
