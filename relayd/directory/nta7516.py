"""NTA 7516's DNS record: a domain's own statement, among its TXT records, that it meets the Dutch norm for secure mail.

::

    nta-record = "v=NTA7516-1" ";startdate=" ym ";enddate=" ym ";provider=" 1*provchar *( ";ntamx=" 1*5DIGIT SP host )
    ym         = 4DIGIT "-" 2DIGIT          the first day of startdate to the last day of enddate, in Dutch time
    provchar   = any printable character except ";"

The norm's technical guideline isn't public; this is what its implementers document. Where they leave a question open,
the answer here is the one that trusts less: the mail then goes to the Viewer, which is safe as well. So two records
count as none, and ntamx hosts of which none can be used don't mean "go by MX instead".

Strict in what is written, tolerant in what is read: case, spaces, a ";" at the end and the order behind ``v=`` don't
matter, unknown keys are passed over. Pure: text in, values out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Final
from zoneinfo import ZoneInfo

from relayd.dns.records import Answer
from relayd.errors import SyntaxInvalid
from relayd.mail.address import Domain, normalise_domain

_ZONE: Final = ZoneInfo("Europe/Amsterdam")
_VERSION: Final = "nta7516-1"
#: The form of 2019, before the guideline: "v=NTA7516;version:2019-06;expire:…". It says nothing that holds today.
_OF_2019: Final = "nta7516"
_MONTH: Final = re.compile(r"([0-9]{4})-(0[1-9]|1[0-2])")
#: One guideline's prose writes "ntamx:" where its example has "ntamx="; no other key is ever written so.
_NTAMX: Final = re.compile(r"ntamx(?![\w-])\s*[=:]?(.*)", re.IGNORECASE | re.DOTALL)
_HOST: Final = re.compile(r"([0-9]{1,5})\s+(\S+)")
_DATES: Final = ("startdate", "enddate")
_KEYS: Final = (*_DATES, "provider")


@dataclass(frozen=True, slots=True, order=True)
class NtaMx:
    """A mail host for NTA 7516 alone. The lowest ``preference`` is tried first."""

    preference: int
    host: str


@dataclass(frozen=True, slots=True)
class NtaRecord:
    """A record that follows the grammar. ``start`` is the first day of a month, ``end`` the last day of one.
    ``mx`` has the most preferred host first; without any, the domain's MX hosts count."""

    provider: str
    start: date
    end: date
    mx: tuple[NtaMx, ...] = ()

    def valid_on(self, day: date) -> bool:
        return self.start <= day <= self.end

    @property
    def hosts(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(one.host for one in self.mx))

    def __str__(self) -> str:
        start, end = (day.isoformat()[:7] for day in (self.start, self.end))  # strftime loses zeros of early years
        parts = [f"v=NTA7516-1;startdate={start};enddate={end};provider={self.provider}"]
        parts += [f"ntamx={one.preference} {one.host}" for one in self.mx]
        return ";".join(parts)


class Found(StrEnum):
    """What was among a domain's TXT records. Only ONE is a statement of compliance."""

    ONE = "one"
    NONE = "none"
    SEVERAL = "several"
    INVALID = "invalid"
    OF_2019 = "of-2019"


@dataclass(frozen=True, slots=True)
class Reading:
    """``record`` is there when ``found`` is ONE. ``text`` says in words what was found. ``ignored`` counts the ntamx
    hosts that can't be used: an IP address, a name of one label, no preference."""

    found: Found
    text: str
    record: NtaRecord | None = None
    ignored: int = 0


@dataclass(frozen=True, slots=True)
class Published:
    """What DNS answered about a domain's record. ``secure``: a validating resolver vouches for the answer; None while
    it isn't known yet whether the resolver validates."""

    domain: Domain
    answer: Answer
    secure: bool | None = False
    reading: Reading = Reading(Found.NONE, "no NTA 7516 record")


@dataclass(frozen=True, slots=True)
class NtaStanding:
    """Whether a domain is compliant by what it publishes; None while DNS can't tell. ``record`` is there when it is.
    ``reason`` says why in words."""

    compliant: bool | None
    reason: str
    record: NtaRecord | None = None


def standing(published: Published, day: date) -> NtaStanding:
    """What follows from a domain's record. It counts when it is the only one, signed and current; what couldn't be
    asked is never taken for "no record"."""
    domain, reading = published.domain, published.reading
    if not published.answer.certain:
        return NtaStanding(None, f"looking up the NTA 7516 record of {domain} ended in {published.answer}")
    if reading.record is None:
        return NtaStanding(False, f"{domain} publishes {reading.text}")
    if published.secure is None:
        return NtaStanding(
            None, f"{domain} publishes {reading.text}, and whether the resolver validates isn't known yet"
        )
    if not published.secure:
        return NtaStanding(False, f"{domain} publishes {reading.text}, but DNSSEC doesn't vouch for it")
    if not reading.record.valid_on(day):
        return NtaStanding(False, f"{domain} publishes {reading.text}, and so not today")
    return NtaStanding(True, f"{domain} publishes {reading.text}, signed with DNSSEC", reading.record)


def today(now: float) -> date:
    """The day in the Netherlands, where the dates of records and of the local register count."""
    return datetime.fromtimestamp(now, _ZONE).date()


def first_day(month: str) -> date:
    """ "2026-07" as its first day. Raises SyntaxInvalid."""
    match = _MONTH.fullmatch(month)
    if match is None or match[1] == "0000":
        raise SyntaxInvalid("expected a year and a month such as 2026-07")
    return date(int(match[1]), int(match[2]), 1)


def last_day(month: str) -> date:
    """ "2026-07" as its last day. Raises SyntaxInvalid."""
    first = first_day(month)
    if (first.year, first.month) == (9999, 12):
        return date.max
    return (first + timedelta(days=31)).replace(day=1) - timedelta(days=1)


def read(texts: Iterable[bytes]) -> Reading:
    """What a domain's TXT records, each with its strings joined, say of NTA 7516."""
    versions = [(text, version) for text in texts if (version := _version(text)).startswith(_OF_2019)]
    records = [text for text, version in versions if version == _VERSION]
    if len(records) > 1:
        return Reading(Found.SEVERAL, f"{len(records)} NTA 7516 records, which count as none")
    if records:
        return _read_one(records[0])
    if any(version == _OF_2019 for _, version in versions):
        return Reading(Found.OF_2019, "an NTA 7516 record in the form of 2019, which no longer counts")
    if versions:
        return Reading(Found.NONE, "an NTA 7516 record of an unknown version")
    return Reading(Found.NONE, "no NTA 7516 record")


def _version(text: bytes) -> str:
    """The value of ``v=`` at the start of a record, in lower case; "" for any other text."""
    key, _, value = text.partition(b";")[0].partition(b"=")
    if key.strip().lower() != b"v":
        return ""
    return value.strip().decode("ascii", "replace").lower()


def _read_one(octets: bytes) -> Reading:
    try:
        text = octets.decode("utf-8")
    except UnicodeDecodeError:
        return _invalid("it isn't UTF-8")
    values: dict[str, str] = {}
    mx: list[NtaMx] = []
    ignored = 0
    for piece in text.split(";")[1:]:
        if match := _NTAMX.fullmatch(piece.strip()):
            host = _mx(match[1].strip())
            mx += [host] if host else []
            ignored += host is None
            continue
        key, _, value = (part.strip() for part in piece.partition("="))
        if key.lower() in values:
            return _invalid(f"it has {key.lower()} twice")
        if key.lower() in _KEYS:
            values[key.lower()] = value
    if missing := [key for key in _KEYS if not values.get(key)]:
        return _invalid(f"it has no {' and no '.join(missing)}")
    if not values["provider"].isprintable():
        return _invalid("its provider has characters that can't be printed")
    try:
        start, end = first_day(values["startdate"]), last_day(values["enddate"])
    except SyntaxInvalid:
        return _invalid("a date isn't a year and a month such as 2026-07")
    if start > end:
        return _invalid("it ends before it starts")
    if ignored and not mx:
        return _invalid("none of its ntamx hosts can be used")
    record = NtaRecord(values["provider"], start, end, tuple(sorted(mx, key=lambda one: one.preference)))
    return Reading(Found.ONE, f"an NTA 7516 record, valid from {start} to {end}", record, ignored)


def _invalid(why: str) -> Reading:
    return Reading(Found.INVALID, f"an NTA 7516 record that can't be used: {why}")


def _mx(text: str) -> NtaMx | None:
    """ "10 mx.clinic.example"; None where no certificate could prove the host."""
    match = _HOST.fullmatch(text)
    return make_mx(int(match[1]), match[2]) if match else None


def make_mx(preference: int, host: str) -> NtaMx | None:
    """The host in A-labels; None for an IP address, a name of a single label, or a preference beyond 16 bits."""
    try:
        name = normalise_domain(host)
    except SyntaxInvalid:
        return None
    if "." not in name or name.startswith("[") or preference > 65535:
        return None
    return NtaMx(preference, name)
