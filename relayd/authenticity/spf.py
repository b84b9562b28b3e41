"""SPF (RFC 7208): may this address send for that domain? check_host() on our own resolver.

Every DNS question of one check counts towards its limits (RFC 7208 §4.6.4): ten terms that ask, two of them in vain,
ten names behind an MX or PTR. They bound what a stranger's record can make us do. Time is the caller's to bound.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any, Final

from relayd.authenticity.results import Result, Spf
from relayd.authenticity.spf_macro import MacroString, parse_macro_string
from relayd.authenticity.spf_question import SpfCheck, SpfQuestion, Step
from relayd.authenticity.spf_record import MOST_OCTETS, Mechanism, SpfRecord, parse_record, select
from relayd.dns.records import Answer, Records
from relayd.dns.resolver import Resolver
from relayd.errors import SyntaxInvalid

MOST_LOOKUPS: Final = 10
MOST_VOID_LOOKUPS: Final = 2
MOST_NAMES: Final = 10
_LONGEST_NAME: Final = 253
_LONGEST_EXPLANATION: Final = 500
#: What can be asked of DNS: ASCII without the backslash, which escapes in a name's text.
_LABEL: Final = re.compile(r"[ -\-/-\[\]-~]{1,63}")


class _Ended(Exception):
    """The check is over before its end: temperror or permerror."""

    def __init__(self, result: Result, reason: str) -> None:
        self.result = result
        self.reason = reason
        super().__init__(reason)


async def check_host(dns: Resolver, asked: SpfQuestion, *, explain: bool = False) -> SpfCheck:
    """The result for one message. ``explain`` also fetches the text that the domain gives with a failure."""
    return await _Check(dns, asked).run(explain)


@dataclass(slots=True)
class _Check:
    """The state of one check, includes and redirects among it."""

    dns: Resolver
    asked: SpfQuestion
    lookups: int = 0
    void_lookups: int = 0
    steps: list[Step] = field(default_factory=list)
    reason: str = ""
    _depth: int = 0
    _answers: list[str] = field(default_factory=list)
    _validated: list[str] | None = None

    @property
    def address(self) -> IPv4Address | IPv6Address:
        """The peer's; an IPv4 address in IPv6's clothes counts as what it is (RFC 7208 §5)."""
        address = self.asked.address
        return (isinstance(address, IPv6Address) and address.ipv4_mapped) or address

    async def run(self, explain: bool) -> SpfCheck:
        domain = self.asked.domain
        text: MacroString | None = None
        try:
            if "." not in domain or not _can_be_asked(domain):  # RFC 7208 §4.3
                result, self.reason = Result.NONE, "not a domain name that could have a record"
            else:
                result, text, domain = await self._check(domain)
        except _Ended as error:
            result, self.reason = error.result, error.reason
        explanation = ""
        if explain and result is Result.FAIL and text is not None:
            explanation = await self._explanation(text, domain)
        spf = Spf(result, self.asked.domain, self.asked.is_helo, self.reason)
        return SpfCheck(spf, explanation, tuple(self.steps), self.lookups, self.void_lookups)

    async def _check(self, domain: str) -> tuple[Result, MacroString | None, str]:
        """check_host() for one domain: the result, the explanation of the record that gave it, and that domain."""
        record = await self._record(domain)
        if record is None:
            self.reason = f"{domain} has no SPF record"
            return Result.NONE, None, domain
        for mechanism in record.mechanisms:
            if await self._matches(mechanism, domain):
                self.reason = mechanism.term if not self._depth else self.reason
                return mechanism.result, record.explanation, domain
        if record.redirect is None:
            self.reason = "no mechanism matches"
            return Result.NEUTRAL, None, domain
        self._count()
        target = await self._target(record.redirect, domain)
        self._step(domain, f"redirect={record.redirect.text}", f"goes on with {target}")
        result, text, place = await self._check(target) if _can_be_asked(target) else (Result.NONE, None, domain)
        if result is Result.NONE:
            raise _Ended(Result.PERMERROR, "redirect to a domain without an SPF record")
        return result, text, place

    async def _record(self, domain: str) -> SpfRecord | None:
        texts: Records[bytes] = await self._ask(domain, "TXT")
        self._fail_if_uncertain(texts)
        found = select(texts.values)
        if len(found) > 1:  # RFC 7208 §4.5
            self._step(domain, "", f"has {len(found)} SPF records, which is one too many at least")
            raise _Ended(Result.PERMERROR, f"{domain} has more than one SPF record")
        if not found:
            self._step(domain, "", "has no SPF record")
            return None
        try:
            record = parse_record(found[0])
        except SyntaxInvalid as error:
            self._step(domain, _printable(found[0]), f"can't be read: {error}")
            raise _Ended(Result.PERMERROR, f"the SPF record of {domain} can't be read: {error}") from None
        self._step(domain, _printable(found[0]), "is its record")
        return record

    async def _matches(self, mechanism: Mechanism, domain: str) -> bool:
        if mechanism.kind not in ("all", "ip4", "ip6"):
            self._count()
        if mechanism.kind == "include":
            return await self._includes(mechanism, domain)
        match mechanism.kind:
            case "all":
                matched = True
            case "ip4" | "ip6":
                matched = mechanism.network is not None and self.address in mechanism.network
            case "a":
                matched = await self._is_host(mechanism, await self._target(mechanism.domain, domain))
            case "mx":
                matched = await self._is_mail_host(mechanism, await self._target(mechanism.domain, domain))
            case "ptr":
                matched = await self._is_named(await self._target(mechanism.domain, domain))
            case _:
                matched = await self._exists(await self._target(mechanism.domain, domain))
        self._step(domain, mechanism.term, f"matches: {mechanism.result}" if matched else "doesn't match")
        return matched

    async def _includes(self, mechanism: Mechanism, domain: str) -> bool:
        """RFC 7208 §5.2: only a pass of the other domain's record matches."""
        target = await self._target(mechanism.domain, domain)
        self._step(domain, mechanism.term, f"asks {target}")
        result = Result.NONE
        if _can_be_asked(target):
            self._depth += 1
            result, _, _ = await self._check(target)
            self._depth -= 1
        if result is Result.NONE:
            raise _Ended(Result.PERMERROR, "include of a domain without an SPF record")
        matched = result is Result.PASS
        self._step(domain, mechanism.term, f"matches: {mechanism.result}" if matched else f"doesn't match: {result}")
        return matched

    async def _is_host(self, mechanism: Mechanism, name: str) -> bool:
        found = await self._addresses(name)
        self._count_void(found)
        return self._among(found.values, mechanism)

    async def _is_mail_host(self, mechanism: Mechanism, name: str) -> bool:
        """RFC 7208 §5.4: MX records only, no implicit MX."""
        found = await self._question(name, "MX")
        self._count_void(found)
        hosts = [record.host for record in found.values if record.host]
        if len(hosts) > MOST_NAMES:
            raise _Ended(Result.PERMERROR, f"{name} has more than {MOST_NAMES} MX records")
        for host in hosts:
            if self._among((await self._addresses(host)).values, mechanism):
                return True
        return False

    async def _is_named(self, name: str) -> bool:
        """RFC 7208 §5.5."""
        return any(one == name.lower() or one.endswith(f".{name.lower()}") for one in await self._own_names(count=True))

    async def _exists(self, name: str) -> bool:
        """RFC 7208 §5.7: an A record, for IPv6 peers as well."""
        found = await self._question(name, "A")
        self._count_void(found)
        return bool(found.values)

    def _among(self, addresses: Iterable[str], mechanism: Mechanism) -> bool:
        prefix = mechanism.prefix4 if self.address.version == 4 else mechanism.prefix6
        return any(
            self.address in ip_network((address, prefix), strict=False)
            for address in addresses
            if ip_address(address).version == self.address.version
        )

    async def _addresses(self, name: str) -> Records[str]:
        return await self._question(name, "A" if self.address.version == 4 else "AAAA")

    async def _own_names(self, *, count: bool = False) -> Sequence[str]:
        """The peer's names by PTR that lead back to its address. A DNS error is no name here (RFC 7208 §5.5)."""
        if self._validated is not None:
            return self._validated
        self._validated = []
        pointers = await self.dns.names_of(self.address)
        self._note("its address", "PTR", pointers)
        if count and pointers.answer.certain:
            self._count_void(pointers)
        for pointer in pointers.values[:MOST_NAMES]:
            name = str(pointer).lower().removesuffix(".")
            if not _can_be_asked(name):
                continue
            found = await self._ask(name, "A" if self.address.version == 4 else "AAAA")
            if any(ip_address(address) == self.address for address in found.values):
                self._validated.append(name)
        return self._validated

    async def _target(self, spec: MacroString | None, domain: str) -> str:
        """A domain-spec as the name to ask. "" where nothing can be: a local part beyond ASCII (RFC 8616 §4)."""
        if spec is None:
            return domain
        if not self.asked.local.isascii() and spec.letters & {"s", "l"}:
            return ""
        name = spec.expand(await self._values(spec, domain)).removesuffix(".")
        if len(name) > _LONGEST_NAME:  # RFC 7208 §7.3: whole labels go, from the left
            return name[-_LONGEST_NAME - 1 :].partition(".")[2]  # at once: macros can make half a megabyte of it
        return name

    async def _values(self, spec: MacroString, domain: str) -> dict[str, str]:
        """The macros' values (RFC 7208 §7.2)."""
        asked, address = self.asked, self.address
        local = asked.local or "postmaster"
        if isinstance(address, IPv6Address):
            parts, family = ".".join(address.exploded.replace(":", "").upper()), "ip6"
        else:
            parts, family = str(address), "in-addr"
        values = {
            "s": f"{local}@{asked.domain}",
            "l": local,
            "o": asked.domain,
            "d": domain,
            "i": parts,
            "v": family,
            "h": asked.helo,
            "c": str(address),
            "r": asked.receiver,
            "t": str(int(asked.now)),
        }
        if "p" in spec.letters:
            values["p"] = _best_name(await self._own_names(), domain)
        return values

    async def _explanation(self, spec: MacroString, domain: str) -> str:
        """RFC 7208 §6.2: whatever goes wrong on the way, there is no explanation then."""
        name = await self._target(spec, domain)
        texts = await self._ask(name, "TXT") if _can_be_asked(name) else Records[bytes](Answer.NO_NAME)
        if len(texts.values) != 1 or len(texts.values[0]) > MOST_OCTETS:
            return ""
        try:
            parsed = parse_macro_string(texts.values[0].decode("ascii"), explanation=True)
        except (SyntaxInvalid, UnicodeDecodeError):
            return ""
        text = parsed.expand(await self._values(parsed, domain))[:_LONGEST_EXPLANATION]
        return text if text.isascii() and text.isprintable() else ""

    async def _question(self, name: str, kind: str) -> Records[Any]:
        """A mechanism's question. What can't be asked doesn't exist (RFC 7208 §4.8)."""
        if not _can_be_asked(name):
            return Records(Answer.NO_NAME)
        found = await self._ask(name, kind)
        self._fail_if_uncertain(found)
        return found

    async def _ask(self, name: str, kind: str) -> Records[Any]:
        found = await self.dns.look_up(name, kind)
        self._note(name, kind, found)
        return found

    def _fail_if_uncertain(self, found: Records[Any]) -> None:
        if not found.answer.certain:
            raise _Ended(Result.TEMPERROR, f"DNS doesn't tell ({found.answer})")

    def _count(self) -> None:
        self.lookups += 1
        if self.lookups > MOST_LOOKUPS:
            raise _Ended(Result.PERMERROR, f"more than {MOST_LOOKUPS} terms that ask DNS")

    def _count_void(self, found: Records[Any]) -> None:
        if not found.values:
            self.void_lookups += 1
            if self.void_lookups > MOST_VOID_LOOKUPS:
                raise _Ended(Result.PERMERROR, f"more than {MOST_VOID_LOOKUPS} terms that ask DNS in vain")

    def _note(self, name: str, kind: str, found: Records[Any]) -> None:
        shown = f"{len(found.values)} found" if found.answer is Answer.FOUND else str(found.answer)
        self._answers.append(f"{kind} of {name}: {shown}")

    def _step(self, domain: str, term: str, outcome: str) -> None:
        self.steps.append(Step(self._depth, domain, term, outcome, tuple(self._answers)))
        self._answers.clear()


def _can_be_asked(name: str) -> bool:
    return 0 < len(name) <= _LONGEST_NAME and all(_LABEL.fullmatch(label) for label in name.split("."))


def _best_name(names: Sequence[str], domain: str) -> str:
    """The value of %{p}: the domain itself, else a name below it, else any (RFC 7208 §7.3)."""
    domain = domain.lower()
    below = (name for name in names if name.endswith(f".{domain}"))
    return domain if domain in names else next(below, names[0] if names else "unknown")


def _printable(record: bytes) -> str:
    return "".join(character if " " <= character <= "~" else "?" for character in record.decode("latin-1"))
