"""DNS questions about mail, asked of one validating resolver on this machine.

:class:`Resolver` turns raw records into what mail needs to know; :class:`DnsResolver` gets them over the network.
"""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any, Final

import dns.asyncresolver
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rdata
import dns.rdatatype
import dns.resolver
import dns.reversename

from relayd.dns.nameserver import Lenient
from relayd.dns.records import Addresses, Answer, MailHosts, Mx, Records, Tlsa, Validation, is_host_name
from relayd.mail.address import Domain, is_address

_CACHED_NAMES: Final = 10_000
#: Octets of an answer that is kept: a stranger may publish as many of 64 KiB as he likes, each a megabyte in memory.
_CACHED_OCTETS: Final = 4 * 1024
#: Stands for the records that can't be parsed: there are some, and they are unusable.
_UNREADABLE: Final = Tlsa(255, 255, 255, b"")
_LOCALHOST: Final = ("::1", "127.0.0.1")  # RFC 6761 §6.3


class Resolver(ABC):
    """What relayd asks of DNS. Never raises for what DNS says. ``validation`` is what is known of whoever answers."""

    validation: Validation = Validation.ON

    async def known_validation(self) -> Validation:
        """``validation``, after the first test where one is going on."""
        return self.validation

    @abstractmethod
    async def look_up(self, name: str, kind: str) -> Records[Any]:
        """The records of one kind ("A", "AAAA", "MX", "TXT", "TLSA", "PTR", "CNAME") as str, str, Mx, bytes (strings
        joined), Tlsa, str and str. Names come without a dot at the end, in lower case."""

    async def texts(self, name: str) -> Records[bytes]:
        """TXT records, each with its strings joined (RFC 7208 §3.3)."""
        return await self.look_up(name, "TXT")

    async def mx(self, name: str) -> Records[Mx]:
        """MX records, most preferred first, without those whose host is no host name."""
        return await self.look_up(name, "MX")

    async def tlsa(self, name: str) -> Records[Tlsa]:
        """TLSA records of a full name such as ``_25._tcp.mx.example.org``."""
        return await self.look_up(name, "TLSA")

    async def names_of(self, address: IPv4Address | IPv6Address) -> Records[str]:
        """The names that an IP address is said to have (PTR)."""
        return await self.look_up(dns.reversename.from_address(str(address)).to_text(omit_final_dot=True), "PTR")

    async def mail_hosts(self, domain: Domain) -> MailHosts:
        """Where a domain's mail goes (RFC 5321 §5.1, RFC 7505)."""
        if domain.startswith("["):
            return MailHosts(Answer.FOUND, (_literal(domain),), implicit=True)
        found = await self.mx(domain)
        if found.answer is Answer.NO_DATA:
            return MailHosts(Answer.FOUND, (str(domain),), False, True, found.secure, found.canonical)
        if found.answer is not Answer.FOUND:
            return MailHosts(found.answer, secure=found.secure)
        hosts = tuple(dict.fromkeys(record.host for record in found.values if record.host))
        null = [record.host for record in found.values] == [""]
        return MailHosts(Answer.FOUND, hosts, null, False, found.secure, found.canonical)

    async def addresses(self, host: str) -> Addresses:
        """Where a host can be reached."""
        if is_address(host):
            return Addresses(Answer.FOUND, (host,))
        if host.lower().rstrip(".") == "localhost":
            return Addresses(Answer.FOUND, _LOCALHOST)
        families = await asyncio.gather(self.look_up(host, "AAAA"), self.look_up(host, "A"))
        # A family that couldn't be asked takes nothing away from what is proven of the other: else breaking one lookup
        # would turn DANE off (RFC 7672 §2.1.2).
        certain = [family for family in families if family.answer.certain]
        secure = bool(certain) and all(family.secure for family in certain)
        found = tuple(address for family in families for address in family.values)
        canonical = next((family.canonical for family in families if family.canonical), "")
        if found:
            return Addresses(Answer.FOUND, found, secure, canonical)
        # One family that couldn't be asked may be the one that has addresses.
        uncertain = [family.answer for family in families if not family.answer.certain]
        return Addresses(uncertain[0] if uncertain else families[1].answer, (), secure, canonical)


class DnsResolver(Resolver):
    """Asks one resolver. Answers are kept for their TTL; who asks what is being asked already waits for that answer.

    The resolver's word on DNSSEC (the AD bit) counts only where no network lies between it and us, and no longer once
    it was seen not to validate (:class:`relayd.dns.validation.Watch`).
    """

    def __init__(self, server: str = "127.0.0.1", port: int = 53, timeout: float = 5.0) -> None:
        self._near = ip_address(server).is_loopback
        self._resolver = _asking(server, port, timeout)
        self._unchecked = _asking(server, port, timeout)
        self._unchecked.flags = dns.flags.RD | dns.flags.CD
        self._kept = _Cache(_CACHED_NAMES)
        self._asked: dict[tuple[str, str], asyncio.Task[Records[Any]]] = {}
        self._tested: asyncio.Event | None = None

    def await_test(self) -> None:
        """Nothing is known of the resolver's validation until :meth:`learn` is called."""
        self.validation = Validation.UNTESTED
        self._tested = asyncio.Event()

    def learn(self, validation: Validation) -> None:
        """Take what a test found; one that found nothing out changes nothing."""
        if validation is not Validation.UNTESTED:
            self.validation = validation
        if self._tested is not None:
            self._tested.set()

    async def known_validation(self) -> Validation:
        if self._tested is not None:
            await self._tested.wait()
        return self.validation

    async def look_up(self, name: str, kind: str) -> Records[Any]:
        key = (name.lower().rstrip("."), kind)
        found = self._kept.look(key)
        if found is None:
            task = self._asked.get(key)
            if task is None:
                task = self._asked[key] = asyncio.create_task(self._ask_and_keep(key))
                task.add_done_callback(lambda _: self._asked.pop(key, None))
            # Who gives up waiting must not take the answer away from the others.
            found = await asyncio.shield(task)
        return replace(found, secure=False) if self.validation is Validation.OFF and found.secure else found

    async def ask_anew(self, name: str, kind: str) -> Records[Any]:
        """What the resolver says now, and that it vouches for it, whatever is known of its validation."""
        return (await self._ask(name.lower().rstrip("."), kind))[0]

    async def _ask_and_keep(self, key: tuple[str, str]) -> Records[Any]:
        found, answer = await self._ask(*key)
        if answer is not None and len(answer.wire or b"") <= _CACHED_OCTETS:
            self._kept.keep(key, found, answer.resolve_chaining().minimum_ttl)
        return found

    async def _ask(self, name: str, kind: str) -> tuple[Records[Any], dns.message.QueryMessage | None]:
        """The records, and the message they come from where there is a certain answer."""
        try:
            answer = await self._resolver.resolve(f"{name}.", kind, search=False, raise_on_no_answer=False)
        except dns.resolver.NXDOMAIN as error:
            response = next(iter(error.responses().values()), None)  # type: ignore[no-untyped-call]
            secure = self._near and response is not None and bool(response.flags & dns.flags.AD)
            return Records(Answer.NO_NAME, secure=secure), response
        except dns.exception.Timeout:
            return Records(Answer.TIMEOUT), None
        except dns.resolver.NoNameservers:
            return Records(await self._why_failed(name, kind)), None
        except (dns.exception.DNSException, OSError):
            return Records(Answer.FAILED), None
        response = answer.response
        secure = self._near and bool(response.flags & dns.flags.AD)
        canonical = _text(answer.canonical_name)
        values = [value for record in answer.rrset or () if (value := _value(record)) is not None]
        if kind == "TLSA" and response.errors:
            values.append(_UNREADABLE)
        elif answer.rrset is None:
            return Records(Answer.NO_DATA, (), secure, canonical), response
        if kind == "MX":
            values.sort(key=lambda record: (record.preference, record.host))
        elif kind == "TLSA":
            values.sort(key=str)  # resolvers turn the order round each time, and it means nothing
        return Records(Answer.FOUND, tuple(values), secure, canonical), response

    async def _why_failed(self, name: str, kind: str) -> Answer:
        """A validating resolver says SERVFAIL of a forged answer too; with checking disabled it shows it."""
        try:
            await self._unchecked.resolve(f"{name}.", kind, search=False, raise_on_no_answer=False)
        except dns.resolver.NXDOMAIN:
            return Answer.BOGUS
        except (dns.exception.DNSException, OSError):
            return Answer.FAILED
        return Answer.BOGUS


@dataclass(frozen=True, slots=True)
class _Kept:
    """An answer, and until when it is one: in unix seconds, under the name that dnspython's cache looks for."""

    found: Records[Any]
    expiration: float


class _Cache(dns.resolver.LRUCache):
    """dnspython's cache with answers as relayd reads them: to take dnspython's apart each time costs fifty times as
    much as to find them."""

    def look(self, key: tuple[str, str]) -> Records[Any] | None:
        kept = self.get(key)  # type: ignore[arg-type]
        return kept.found if isinstance(kept, _Kept) else None

    def keep(self, key: tuple[str, str], found: Records[Any], ttl: int) -> None:
        self.put(key, _Kept(found, time.time() + ttl))  # type: ignore[arg-type]


def _asking(server: str, port: int, timeout: float) -> dns.asyncresolver.Resolver:
    resolver = dns.asyncresolver.Resolver(configure=False)
    resolver.nameservers = [Lenient(server, port)]
    resolver.lifetime = timeout
    resolver.timeout = timeout / 2
    resolver.use_edns(0, dns.flags.DO, 1232)
    return resolver


def _value(record: dns.rdata.Rdata) -> Any:
    """A record as its value; None for a name that can't be a host's."""
    match record.rdtype:
        case dns.rdatatype.MX:
            exchange: dns.name.Name = record.exchange  # type: ignore[attr-defined]
            if exchange == dns.name.root:
                return Mx(record.preference, "")  # type: ignore[attr-defined]
            host = _text(exchange)
            return Mx(record.preference, host) if is_host_name(host) else None  # type: ignore[attr-defined]
        case dns.rdatatype.TLSA:
            return Tlsa(record.usage, record.selector, record.mtype, bytes(record.cert))  # type: ignore[attr-defined]
        case dns.rdatatype.TXT:
            return b"".join(record.strings)  # type: ignore[attr-defined]
        case dns.rdatatype.PTR | dns.rdatatype.CNAME:
            host = _text(record.target)  # type: ignore[attr-defined]
            return host if is_host_name(host) else None
        case _:
            return record.address  # type: ignore[attr-defined]


def _text(name: dns.name.Name) -> str:
    return name.to_text(omit_final_dot=True).lower()


def _literal(domain: str) -> str:
    """The IP address of an address literal (RFC 5321 §4.1.3)."""
    text = domain.strip("[]")
    return text[5:] if text.lower().startswith("ipv6:") else text
