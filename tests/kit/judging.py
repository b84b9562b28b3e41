"""What a policy is judged with in tests: a mail made from text, counters in memory, an inspector that is told."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from datetime import timedelta
from ipaddress import ip_address

from relayd.authenticity.results import Authentication, Result, Spf
from relayd.directory.directory import Directory, Origin, Via
from relayd.mail.address import NULL_SENDER, Domain, parse_address
from relayd.mail.envelope import Envelope, Listener, Peer, Recipient, TlsFacts
from relayd.mail.headers import Headers
from relayd.mail.mime import MimeScanner
from relayd.pipeline.policy import Context, Inspection, InspectionLimits, Mail, Standing
from relayd.pipeline.verdict import Verdict

TLS = TlsFacts("TLSv1.3", "TLS_AES_256_GCM_SHA384")
EMPTY = Directory({}, {}, {}, {}, {})
STRANGER = Origin(Via.STRANGER)


class MemoryBody:
    """A Body over octets."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.head = content.partition(b"\r\n\r\n")[0] + b"\r\n"

    @property
    def size(self) -> int:
        return len(self.content)

    async def blocks(self, start: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        end = len(self.content) if length is None else start + length
        for at in range(start, end, 65536):
            yield self.content[at : min(at + 65536, end)]


class FrozenClock:
    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self.at = now

    def now(self) -> float:
        return self.at

    def boot(self) -> float:
        return self.at


class MemoryLimits:
    """Counters without forgetting; what was stored can be looked at."""

    def __init__(self) -> None:
        self.sets: dict[str, set[str]] = {}

    async def count_unique(self, key: str, members: list[str], window: timedelta) -> int:
        self.sets.setdefault(key, set()).update(members)
        return len(self.sets[key])

    async def take(self, key: str, amount: int, limit: int, window: timedelta) -> bool:
        return True


class ToldInspector:
    """Answers with the inspection it was given, and counts how often it was asked."""

    def __init__(self, answer: Inspection | None = None) -> None:
        self.answer = answer if answer is not None else Inspection(())
        self.asked = 0

    async def inspect(self, mail: Mail, limits: InspectionLimits) -> Inspection:
        self.asked += 1
        return self.answer


class ToldAuthenticator:
    """Answers what it was told, and counts how often it was asked for everything."""

    def __init__(self, *signers: str, told: Authentication | None = None) -> None:
        self.domains = frozenset(Domain(domain) for domain in signers)
        self.told = told or Authentication(Spf(Result.NONE, ""))
        self.known: Authentication | None = None
        self.asked = 0

    async def signers(self, mail: Mail) -> frozenset[Domain]:
        return self.domains

    async def authenticate(self, mail: Mail) -> Authentication:
        self.asked += 1
        self.known = self.told
        return self.told


class NtaWays:
    """Says the same of every domain's NTA 7516 hosts, and counts how often it was asked."""

    def __init__(self, proven: bool | None = True, reason: str = "") -> None:
        self.standing = Standing(proven, reason)
        self.asked = 0

    async def proven(self, domain: Domain) -> Standing:
        raise AssertionError("nobody asks about MX here")

    async def nta_proven(self, domain: Domain) -> Standing:
        self.asked += 1
        return self.standing


def context(directory: Directory = EMPTY, **others: object) -> Context:
    given = {"limits": MemoryLimits(), "inspector": ToldInspector(), "clock": FrozenClock()} | others
    return Context(directory=directory, **given)  # type: ignore[arg-type]


def peer(address: str = "203.0.113.9", *, listener: Listener = Listener.RELAY, tls: TlsFacts | None = TLS) -> Peer:
    return Peer(ip_address(address), 40000, listener, helo="client.example", tls=tls)


def mail(
    content: str | bytes | None = None,
    *,
    sender: str = "",
    to: Iterable[str] = (),
    origin: Origin = STRANGER,
    by: Peer | None = None,
) -> Mail:
    """A mail as a policy sees it: before the end of data when ``content`` is None. "" is the null sender."""
    recipients = tuple(Recipient(parse_address(address)) for address in to)
    envelope = Envelope(parse_address(sender) if sender else NULL_SENDER, recipients)
    by = by or peer()
    if content is None:
        return Mail("m1", by, origin, envelope, recipients)
    octets = content.encode() if isinstance(content, str) else content
    octets = octets.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n") if isinstance(content, str) else octets
    body = MemoryBody(octets)
    scanner = MimeScanner()
    scanner.feed(octets)
    return Mail("m1", by, origin, envelope, recipients, Headers(body.head), body, scanner.finish())


def listed(verdicts: Verdict | list[Verdict]) -> list[Verdict]:
    return [verdicts] if isinstance(verdicts, Verdict) else verdicts
