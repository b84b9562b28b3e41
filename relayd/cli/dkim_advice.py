"""What to do about a domain's DKIM keys: for ``relayd dkim`` and ``relayd doctor``."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from relayd.authenticity.dkim_dns import Publication, Published, look
from relayd.authenticity.dkim_keys import DomainKeys, KeySet, State
from relayd.dns.resolver import Resolver
from relayd.mail.address import Domain, normalise_domain
from relayd.settings.models import Configuration

#: What DNS has for each set of keys, by domain and the set's selector.
Seen = Mapping[tuple[Domain, str], list[Publication]]


def notices_domain(configuration: Configuration) -> Domain:
    """The domain that notifications and reports come from."""
    address = configuration.notices.from_address
    return normalise_domain(address.rpartition("@")[2] if address else configuration.hostname)


def unsigned(domain: Domain) -> str:
    """What it means that no key signs for the domain of our notices."""
    return f"notifications and reports come from {domain}, which no key signs for; relayd dkim create {domain}"


async def see(resolver: Resolver, found: Iterable[tuple[Domain, DomainKeys]]) -> Seen:
    """Ask DNS for all records of all these domains."""
    asked = [(domain, one) for domain, keys in found for one in keys.sets]
    answers = await asyncio.gather(*(look(resolver, domain, one) for domain, one in asked))
    return {(domain, one.selector): answer for (domain, one), answer in zip(asked, answers, strict=True)}


def reports_domain(configuration: Configuration) -> Domain | None:
    """The domain that TLS and DMARC reports come from; None where none are sent."""
    address = configuration.reports.address
    return normalise_domain(address.rpartition("@")[2]) if address else None


def advice(domain: Domain, keys: DomainKeys, seen: Seen, now: float) -> list[str]:
    """What an operator should do about a domain's keys; empty when nothing. ``seen`` lacks what wasn't asked."""
    found = []
    for one in keys.sets:
        records = seen.get((domain, one.selector))
        state = one.state(now)
        if records is None:
            continue
        wrong = [publication for publication in records if publication.published is not Published.SHOWN]
        if state is State.WAITING:
            found.append(
                f"publish the records of {one.selector}, then: relayd dkim activate {domain}"
                if wrong
                else f"DNS shows {one.selector}; relayd dkim activate {domain}"
            )
        elif state is State.SIGNING:
            found += [f"{publication.name}: {publication.text}, and it signs" for publication in wrong]
        elif state is State.RETIRED:
            gone = [publication.name for publication in wrong if publication.published is not Published.UNKNOWN]
            found += [f"{name} is needed in DNS until {_day(one.removable_at)}" for name in gone]
        else:
            left = [publication.name for publication in records if publication.published is Published.SHOWN]
            found += [f"remove {name} from DNS" for name in left]
    return found


def story(keys: KeySet, now: float) -> str:
    """Where a set of keys stands, in words."""
    match keys.state(now):
        case State.WAITING:
            return f"made on {_day(keys.made)}, waits for DNS; signs nothing yet"
        case State.SIGNING:
            return f"signs since {_day(keys.signs_from)}"
        case State.RETIRED:
            return f"signed until {_day(keys.signs_until)}; stays in DNS until {_day(keys.removable_at)}"
        case _:
            return f"signed until {_day(keys.signs_until)}; its records may go from DNS"


def _day(at: float | None) -> str:
    return f"{datetime.fromtimestamp(at or 0, UTC):%Y-%m-%d}"
