"""What a mail server's port says: STARTTLS, the TLS guideline, DANE."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from relayd.dns.hosts import HostFacts, look_at_host
from relayd.dns.records import Answer, Tlsa
from relayd.dns.resolver import Resolver
from relayd.tls import dane, guideline
from relayd.tls.certificate import dns_names, name_matches, read_chain
from relayd.tls.guideline import Judged, Level
from relayd.tls.probe import Offer, Prober
from relayd.tls.profile import Row, Side, look
from relayd.tls.remote import Remote
from scripts.lib.internet_nl.score import Category, Check, Status, aside, failed, passed, worst_of

#: At most so many mail servers are looked at.
MOST_SERVERS: Final = 10
_TLS: Final = Category.TRANSPORT
#: internet.nl's name of a subtest, and the rows of the profile that belong to it.
_SUBTESTS: Final = {
    "TLS version": ("version",),
    "Ciphers (algorithm selections)": ("TLS 1.2 suite", "TLS 1.3 suite"),
}
_FLAGS: Final = {
    "TLS compression": ("compression", False),
    "Secure renegotiation": ("secure renegotiation", True),
    "Extended Master Secret": ("extended master secret", True),
}
_OTHERS: Final = (
    *("Key exchange parameters", "Cipher order", "Public key of certificate", "Signature of certificate", "DANE"),
)
#: Offers what is to be phased out first, and then what is sufficient, to see whether the server goes by the order.
_UPSIDE_DOWN: Final = Offer(
    highest="TLSv1_2", suites="ECDHE+AES+SHA256:ECDHE+AES+SHA384:DHE+AESGCM:ECDHE+AESGCM:ECDHE+CHACHA20"
)


async def look_at_server(resolver: Resolver, host: str, port: int) -> list[Check]:
    """All checks of one mail server, the worst of one address of each family; one that can't be reached at all is
    another category's."""
    facts = await look_at_host(resolver, host, port)
    families = {":" in address: address for address in reversed(facts.addresses.addresses)}
    found: list[list[Check]] = []
    reason = "it has no address"
    for address in families.values():
        rows, chain = await asyncio.to_thread(_profile, address, host, port)
        if chain:
            found.append([*of_profile(rows), *of_certificates(chain, host), *of_dane(facts, chain, host)])
        reason = f"no TLS: {rows[0].detail}"
    if found:
        return worst_of(found)
    subtests = (*_SUBTESTS, *_FLAGS, *_OTHERS)
    return [failed(_TLS, "STARTTLS", reason), *(failed(_TLS, name, "no TLS to look at") for name in subtests)]


def _profile(address: str, host: str, port: int) -> tuple[list[Row], Sequence[bytes]]:
    """Some fifty connections, one after the other."""
    with tempfile.TemporaryDirectory(prefix="internet-nl-") as folder:
        remote = Remote(Prober(Path(folder), {}), address, port, starttls=True, name=host)
        rows = list(look(Side.REMOTE, remote.attempt))
        if _taken(rows, _SUBTESTS["Ciphers (algorithm selections)"], Level.PHASE_OUT):
            chosen = remote.attempt(_UPSIDE_DOWN).suite
            rows.append(Row(Side.REMOTE, "order", chosen, guideline.suite(chosen), True, chosen))
        return rows, remote.chain


def _taken(rows: Iterable[Row], subjects: Sequence[str], level: Level) -> list[str]:
    return [row.what for row in rows if row.taken and row.subject in subjects and row.level is level]


def of_profile(rows: Sequence[Row]) -> Iterator[Check]:
    """What handshakes told."""
    yield passed(_TLS, "STARTTLS")
    for name, subjects in _SUBTESTS.items():
        yield _graded(name, [Judged(row.what, row.level) for row in rows if row.taken and row.subject in subjects])
    groups = dict.fromkeys(row.group for row in rows if row.taken and row.group)
    yield _graded("Key exchange parameters", [Judged(group, guideline.group(group)) for group in groups])
    order = next((row for row in rows if row.subject == "order"), None)
    if order is not None and order.level in (Level.PHASE_OUT, Level.INSUFFICIENT):
        yield failed(_TLS, "Cipher order", f"{order.what} goes before what is sufficient")
    else:
        yield passed(_TLS, "Cipher order")
    for name, (what, wanted) in _FLAGS.items():
        has = next((bool(row.taken) for row in rows if row.what == what), not wanted)
        yield passed(_TLS, name) if has is wanted else failed(_TLS, name, what if has else f"no {what}")
    signed = [Judged(row.what, row.level) for row in rows if row.taken and row.subject == "TLS 1.2 signature"]
    bad = [one.what for one in signed if one.level is not Level.GOOD]
    yield aside(_TLS, "Hash function for key exchange", Status.NOTICE if bad else Status.PASSED, ", ".join(bad))


def _graded(name: str, found: Sequence[Judged]) -> Check:
    """A subtest by the worst of what was found."""
    insufficient = [one.what for one in found if not one.level.passes]
    if insufficient or not found:
        return failed(_TLS, name, ", ".join(insufficient) or "nothing was found")
    phased_out = [one.what for one in found if one.level is Level.PHASE_OUT]
    if phased_out:
        return passed(_TLS, name, f"to be phased out: {', '.join(phased_out)}", Status.NOTICE)
    return passed(_TLS, name)


def of_certificates(chain: Sequence[bytes], host: str) -> Iterator[Check]:
    """Of the certificates (DER) as they were sent."""
    certificates = read_chain(chain)
    judged = list(guideline.certificate(certificates))
    yield _graded("Public key of certificate", [one for one in judged if "signature" not in one.what])
    signatures = [one for one in judged if "signature" in one.what]
    # One that stands for itself has no signature that counts.
    yield _graded("Signature of certificate", signatures) if signatures else passed(_TLS, "Signature of certificate")
    named = any(name_matches(have, host) for one in certificates[:1] for have in dns_names(one))
    yield _told("Domain name on certificate", named, f"not {host}")


def _told(name: str, good: bool, otherwise: str) -> Check:
    return aside(_TLS, name, Status.PASSED) if good else aside(_TLS, name, Status.INFO, otherwise)


def of_dane(facts: HostFacts, chain: Sequence[bytes], host: str) -> Iterator[Check]:
    """Existence and validity share their points."""
    found = facts.tlsa
    if found is None or not found.secure:
        broken = found is not None and not found.answer.certain
        yield failed(_TLS, "DANE", f"TLSA can't be validated: {found.answer}" if found and broken else "not signed")
        return
    if found.answer is not Answer.FOUND:
        yield failed(_TLS, "DANE", "no TLSA record")
        return
    records: tuple[Tlsa, ...] = found.values
    usable = dane.usable(records)
    matched = dane.match(chain, usable, (facts.base, host), datetime.now(UTC))
    if matched.fault is not None:
        yield failed(_TLS, "DANE", matched.fault.reason if usable else "no usable TLSA record")
        return
    yield passed(_TLS, "DANE", matched.by)
    usages = sorted(record.usage for record in usable)
    ready = usages.count(3) >= 2 or (usages[:1] == [2] and 3 in usages)
    yield _told("DANE rollover scheme", ready, "no second record for the next key")
