"""DNS questions about mail: where a domain's mail goes (RFC 5321 §5.1, RFC 7505) and which addresses a host has.

The answers tell apart what a mail server must not confuse: a name that doesn't exist, one without such records, a
resolver that couldn't find out (SERVFAIL, which a validating resolver also says of a forged answer), and silence.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

import dns.asyncresolver
import dns.exception
import dns.flags
import dns.rdatatype
import dns.resolver

from relayd.mail.address import Domain
from relayd.tls.identity import is_address


class Answer(StrEnum):
    """How a question ended. Only the first three say something about the name itself."""

    FOUND = "found"
    NO_NAME = "nxdomain"
    NO_DATA = "nodata"
    FAILED = "servfail"
    TIMEOUT = "timeout"

    @property
    def certain(self) -> bool:
        return self in (Answer.FOUND, Answer.NO_NAME, Answer.NO_DATA)


@dataclass(frozen=True, slots=True)
class MailHosts:
    """A domain's mail hosts, most preferred first. ``null`` is RFC 7505's "accepts no mail". ``implicit`` means that
    the domain has no MX and is its own host. ``secure`` repeats the resolver's AD bit."""

    answer: Answer
    hosts: tuple[str, ...] = ()
    null: bool = False
    implicit: bool = False
    secure: bool = False


@dataclass(frozen=True, slots=True)
class Addresses:
    """A host's IP addresses, IPv6 first."""

    answer: Answer
    addresses: tuple[str, ...] = ()
    secure: bool = False


class Resolver(Protocol):
    """What delivery asks of DNS. Never raises for what DNS says."""

    async def mail_hosts(self, domain: Domain) -> MailHosts: ...

    async def addresses(self, host: str) -> Addresses: ...


_CACHED_NAMES: Final = 10_000
_LOCALHOST: Final = ("::1", "127.0.0.1")  # RFC 6761 §6.3


class DnsResolver:
    """Asks one resolver, which must be local and validating. Answers are kept for their TTL."""

    def __init__(self, server: str = "127.0.0.1", port: int = 53, timeout: float = 5.0) -> None:
        self._resolver = dns.asyncresolver.Resolver(configure=False)
        self._resolver.nameservers = [server]
        self._resolver.port = port
        self._resolver.lifetime = timeout
        self._resolver.timeout = timeout / 2
        self._resolver.use_edns(0, dns.flags.DO, 1232)
        self._resolver.cache = dns.resolver.LRUCache(_CACHED_NAMES)

    async def mail_hosts(self, domain: Domain) -> MailHosts:
        if domain.startswith("["):
            return MailHosts(Answer.FOUND, (_literal(domain),), implicit=True)
        answer, found = await self._ask(domain, "MX")
        if answer is Answer.NO_DATA:
            return MailHosts(Answer.FOUND, (str(domain),), implicit=True)
        if found is None:
            return MailHosts(answer)
        secure = bool(found.response.flags & dns.flags.AD)
        records = sorted((r.preference, str(r.exchange).rstrip(".").lower()) for r in found)
        hosts = tuple(host for _, host in records if host)
        return MailHosts(Answer.FOUND, hosts, null=not hosts, secure=secure)

    async def addresses(self, host: str) -> Addresses:
        if is_address(host):
            return Addresses(Answer.FOUND, (host,))
        if host.lower().rstrip(".") == "localhost":
            return Addresses(Answer.FOUND, _LOCALHOST)
        answers = await asyncio.gather(self._ask(host, "AAAA"), self._ask(host, "A"))
        found = [answer for _, answer in answers if answer is not None]
        if found:
            secure = all(answer.response.flags & dns.flags.AD for answer in found)
            return Addresses(Answer.FOUND, tuple(r.address for answer in found for r in answer), secure)
        kinds = [kind for kind, _ in answers]
        # One family that couldn't be asked may be the one that has addresses.
        uncertain = [kind for kind in kinds if not kind.certain]
        return Addresses(uncertain[0] if uncertain else kinds[1])

    async def _ask(self, name: str, kind: str) -> tuple[Answer, dns.resolver.Answer | None]:
        try:
            return Answer.FOUND, await self._resolver.resolve(name.rstrip(".") + ".", kind, search=False)
        except dns.resolver.NXDOMAIN:
            return Answer.NO_NAME, None
        except dns.resolver.NoAnswer:
            return Answer.NO_DATA, None
        except dns.exception.Timeout:
            return Answer.TIMEOUT, None
        except (dns.exception.DNSException, OSError):
            return Answer.FAILED, None


def _literal(domain: str) -> str:
    """The IP address of an address literal (RFC 5321 §4.1.3)."""
    text = domain.strip("[]")
    return text[5:] if text.lower().startswith("ipv6:") else text
