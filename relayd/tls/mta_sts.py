"""MTA-STS as text (RFC 8461 §3): the TXT record, the policy file, and the names of all that can be wrong with them.

Pure. What is lenient here is so in the direction of protection: a policy whose owner clearly meant one counts, since
the alternative is none. An empty line, ``max_age`` beyond a year and unknown keys therefore hurt nobody.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from typing import Final

from relayd.errors import SyntaxInvalid
from relayd.mail.address import Domain, normalise_domain
from relayd.tls.results import ResultType
from relayd.tls.sts_policy import StsMode, StsPolicy

#: RFC 8461 §3.2: a year, in seconds.
MAX_AGE: Final = 31_557_600
#: RFC 8461 §3.3: a larger policy file isn't read.
MAX_OCTETS: Final = 64 * 1024

_RECORD_START: Final = b"v=STSv1;"
_RECORD_FIELD: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,31}=[!-:<>-~]+")
_ID: Final = re.compile(r"[A-Za-z0-9]{1,32}")
_POLICY_KEY: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,31}")
#: Visible characters with spaces between. Control characters have no place in it.
_POLICY_VALUE: Final = re.compile(r"[^\x00-\x1f\x7f]*")
_NUMBER: Final = re.compile(r"[0-9]{1,10}")


class StsReason(StrEnum):
    """How looking for a policy ended. FOUND is the one good end; NO_RECORD means that the domain has no MTA-STS.

    The TXT record: DNS_FAILED (no certain answer), SEVERAL_RECORDS, RECORD_INVALID. The way to the web server:
    NO_ADDRESS, ADDRESS_NOT_PUBLIC (the name leads into a private network), UNREACHABLE, TIMEOUT (not complete within a
    minute, however busily it dripped), TLS_FAILED. Its certificate: CERTIFICATE_NAME, CERTIFICATE_EXPIRED,
    CERTIFICATE_UNTRUSTED. Its answer: REDIRECT, HTTP_STATUS, MEDIA_TYPE, TOO_LARGE, NOT_HTTP. The file:
    POLICY_INVALID. And NOT_AGAIN_YET: the last try failed less than five minutes ago.
    """

    FOUND = "found"
    NO_RECORD = "no-record"
    DNS_FAILED = "dns-failed"
    SEVERAL_RECORDS = "several-records"
    RECORD_INVALID = "record-invalid"
    NO_ADDRESS = "no-address"
    ADDRESS_NOT_PUBLIC = "address-not-public"
    UNREACHABLE = "unreachable"
    TIMEOUT = "timeout"
    TLS_FAILED = "tls-failed"
    CERTIFICATE_NAME = "certificate-name"
    CERTIFICATE_EXPIRED = "certificate-expired"
    CERTIFICATE_UNTRUSTED = "certificate-untrusted"
    REDIRECT = "redirect"
    HTTP_STATUS = "http-status"
    MEDIA_TYPE = "media-type"
    TOO_LARGE = "too-large"
    NOT_HTTP = "not-http"
    POLICY_INVALID = "policy-invalid"
    NOT_AGAIN_YET = "not-again-yet"

    @property
    def result(self) -> ResultType | None:
        """What the daily report calls it (RFC 8460 §4.3.2.2); None for what is no failure of a policy."""
        if self in (StsReason.FOUND, StsReason.NO_RECORD, StsReason.DNS_FAILED, StsReason.NOT_AGAIN_YET):
            return None
        if self in (StsReason.CERTIFICATE_NAME, StsReason.CERTIFICATE_EXPIRED, StsReason.CERTIFICATE_UNTRUSTED):
            return ResultType.STS_WEBPKI_INVALID
        if self in (StsReason.SEVERAL_RECORDS, StsReason.RECORD_INVALID, StsReason.POLICY_INVALID):
            return ResultType.STS_POLICY_INVALID
        return ResultType.STS_POLICY_FETCH_ERROR


@dataclass(frozen=True, slots=True)
class StsRecord:
    """What the TXT record says: the policy's ``id``, or "" with the reason. ``detail`` is for people."""

    reason: StsReason
    id: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class StsFetch:
    """What the web server gave: a policy, or None with the reason. ``detail`` is for people, without the server's own
    words."""

    reason: StsReason
    policy: StsPolicy | None = None
    detail: str = ""


def read_records(texts: Sequence[bytes]) -> StsRecord:
    """The one record among the TXT records of ``_mta-sts.DOMAIN`` (RFC 8461 §3.1): others are passed over, two of
    them are none."""
    records = [text for text in texts if text.startswith(_RECORD_START)]
    if not records:
        return StsRecord(StsReason.NO_RECORD, detail="no TXT record begins with v=STSv1;")
    if len(records) > 1:
        return StsRecord(StsReason.SEVERAL_RECORDS, detail=f"{len(records)} records where one may be")
    try:
        return StsRecord(StsReason.FOUND, parse_record(records[0]))
    except SyntaxInvalid as error:
        return StsRecord(StsReason.RECORD_INVALID, detail=str(error))


def parse_record(text: bytes) -> str:
    """The id that a TXT record names. Raises SyntaxInvalid. Of repeated fields the first counts (RFC 8461 §3.2)."""
    if not text.startswith(_RECORD_START) or not text.isascii():
        raise SyntaxInvalid("the record doesn't begin with v=STSv1; or has octets beyond ASCII")
    fields = [field.strip(" \t") for field in text.decode("ascii")[len(_RECORD_START) :].split(";")]
    if fields[-1] == "":
        fields.pop()  # a delimiter may stand at the end
    if not all(_RECORD_FIELD.fullmatch(field) for field in fields):
        raise SyntaxInvalid("a field of the record isn't key=value")
    ids = [field[3:] for field in fields if field.startswith("id=")]
    if not ids:
        raise SyntaxInvalid("the record has no id")
    if not _ID.fullmatch(ids[0]):
        raise SyntaxInvalid("the record's id isn't 1 to 32 letters and digits")
    return ids[0]


def parse_policy(domain: Domain, identity: str, octets: bytes) -> StsPolicy:
    """A policy file (RFC 8461 §3.2). Raises SyntaxInvalid.

    Lines end in LF or CRLF. Unknown keys are passed over, of repeated ones the first counts; only ``mx`` may repeat.
    ``max_age`` beyond a year counts as a year.
    """
    try:
        lines = octets.decode("utf-8").split("\n")
    except UnicodeDecodeError:
        raise SyntaxInvalid("the policy isn't UTF-8") from None
    first: dict[str, str] = {}
    patterns: list[str] = []
    for line in lines:
        if not (line := line.removesuffix("\r").rstrip(" \t")):
            continue
        # Cut, not matched by one pattern: that would take the square of a long line's time.
        key, colon, value = line.partition(":")
        value = value.strip(" \t")
        if not colon or not _POLICY_KEY.fullmatch(key) or not _POLICY_VALUE.fullmatch(value):
            raise SyntaxInvalid("a line of the policy isn't key: value")
        if key == "mx":
            patterns.append(_pattern(value))
        else:
            first.setdefault(key, value)
    mode = _mode(first)
    if not patterns and mode is not StsMode.NONE:
        raise SyntaxInvalid(f"mode {mode} needs at least one mx")
    return StsPolicy(domain, identity, mode, tuple(dict.fromkeys(patterns)), _max_age(first))


def _mode(fields: dict[str, str]) -> StsMode:
    if fields.get("version") != "STSv1":
        raise SyntaxInvalid("version isn't STSv1")
    try:
        return StsMode(fields.get("mode", ""))
    except ValueError:
        raise SyntaxInvalid("mode isn't enforce, testing or none") from None


def _max_age(fields: dict[str, str]) -> int:
    value = fields.get("max_age", "")
    if not _NUMBER.fullmatch(value):
        raise SyntaxInvalid("max_age isn't a number of seconds")
    return min(int(value), MAX_AGE)


def _pattern(value: str) -> str:
    """A host name, or one whose left-most label is the wildcard (RFC 8461 §4.1)."""
    wildcard = value.startswith("*.")
    try:
        if value.startswith("["):
            raise SyntaxInvalid("an address")
        name = normalise_domain(value[2:] if wildcard else value)
    except SyntaxInvalid:
        raise SyntaxInvalid("an mx isn't a host name, or *. and a domain") from None
    return f"*.{name}" if wildcard else name


def policy_lines(policy: StsPolicy) -> tuple[str, ...]:
    """The policy as the lines of its file, in our own order and spelling."""
    patterns = (f"mx: {pattern}" for pattern in policy.mx)
    return ("version: STSv1", f"mode: {policy.mode}", *patterns, f"max_age: {policy.max_age}")


def policy_file(policy: StsPolicy) -> bytes:
    """The policy as a file to serve."""
    return "".join(f"{line}\r\n" for line in policy_lines(policy)).encode("ascii")


def policy_id(mode: StsMode, mx: Iterable[str], max_age: int) -> str:
    """An id that changes exactly when the policy does: no clock and no counter has to be kept for it."""
    policy = StsPolicy(Domain(""), "", mode, tuple(mx), max_age)
    return sha256(policy_file(policy)).hexdigest()[:20]


def policy_host(domain: Domain) -> str:
    """Where a domain's policy is served (RFC 8461 §3.3)."""
    return f"mta-sts.{domain}"


def record_name(domain: Domain) -> str:
    """Where a domain's TXT record stands (RFC 8461 §3.1)."""
    return f"_mta-sts.{domain}"


#: The path of the policy on its host.
PATH: Final = "/.well-known/mta-sts.txt"
