"""DKIM-Signature fields as values (RFC 6376 §3.5): read strictly, refused with a reason.

dkimpy cuts everything that looks like ``b=…`` out of the field before it hashes it, wherever that stands. What an
attacker could slip in that way must make the field invalid, so no tag's value may hold more than its grammar allows.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from typing import Final

from relayd.authenticity.dkim_key import parse_tags
from relayd.authenticity.results import Dkim, Result
from relayd.errors import SyntaxInvalid
from relayd.mail.address import normalise_domain

_LONGEST: Final = 8192
_MOST_NAMES: Final = 200
_NEEDED: Final = ("v", "a", "b", "bh", "d", "h", "s")
_ALGORITHMS: Final = frozenset({"rsa-sha256", "ed25519-sha256"})
_CANONICALISATIONS: Final = frozenset({"simple", "relaxed"})
_SELECTOR: Final = re.compile(
    r"[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?(?:\.[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?)*"
)
_FIELD_NAME: Final = re.compile(r"[!-9;-~]+")
_NUMBER: Final = re.compile(r"[0-9]{1,12}")
_WHITE_SPACE: Final = re.compile(r"[ \t\r\n]+")
_WORD: Final = re.compile(r"[A-Za-z0-9_-]{1,63}")


@dataclass(frozen=True, slots=True)
class DkimSignature:
    """One signature that is worth verifying. ``names`` are those of h=, in lower case; ``hash`` and ``signature`` are
    decoded; ``identity_domain`` stands behind the @ of i=."""

    domain: str
    selector: str
    algorithm: str
    head_canonicalisation: str
    body_canonicalisation: str
    names: tuple[str, ...]
    hash: bytes
    signature: str
    identity_domain: str

    @property
    def key_name(self) -> str:
        return f"{self.selector}._domainkey.{self.domain}"

    def result(self, result: Result, reason: str = "") -> Dkim:
        return Dkim(result, self.domain, self.selector, self.algorithm, reason)


class SignatureUnfit(Exception):
    """A signature that proves nothing, whatever its key is. ``dkim`` is its result."""

    def __init__(self, dkim: Dkim) -> None:
        self.dkim = dkim
        super().__init__(dkim.reason)


def parse_signature(value: bytes, now: float) -> DkimSignature:
    """The signature in a field's value, folded or not; ``now`` in seconds since 1970. Raises SignatureUnfit."""
    tags: dict[str, str] = {}
    try:
        tags = parse_tags(value, _LONGEST)
        return _checked(tags, now)
    except SyntaxInvalid as error:
        raise SignatureUnfit(_told(tags, Result.NEUTRAL, str(error))) from None
    except _Unacceptable as error:
        raise SignatureUnfit(_told(tags, Result.POLICY, str(error))) from None


class _Unacceptable(Exception):
    """Well formed, but not to be believed."""


def _checked(tags: dict[str, str], now: float) -> DkimSignature:
    if missing := next((tag for tag in _NEEDED if not tags.get(tag)), ""):
        raise SyntaxInvalid(f"{missing}= is missing")
    if tags["v"] != "1":
        raise SyntaxInvalid("v= is not 1")
    algorithm = tags["a"].lower()
    if algorithm == "rsa-sha1":
        raise _Unacceptable("SHA-1 proves nothing any more")
    if algorithm not in _ALGORITHMS:
        raise SyntaxInvalid("a= is an unknown algorithm")
    if "dns/txt" not in [one.strip() for one in tags.get("q", "dns/txt").split(":")]:
        raise SyntaxInvalid("q= is an unknown query method")
    domain = normalise_domain(tags["d"])
    if domain.startswith("[") or not _SELECTOR.fullmatch(tags["s"]) or len(tags["s"]) + len(domain) > 240:
        raise SyntaxInvalid("d= or s= is no name")
    head, body = _canonicalisations(tags.get("c", "simple/simple"))
    _check_times(tags, now)
    if "l" in tags:
        raise _Unacceptable("it covers only the start of the body (l=)")
    return DkimSignature(
        domain,
        tags["s"],
        algorithm,
        head,
        body,
        _names(tags["h"]),
        _base64(tags["bh"], "bh"),
        base64.b64encode(_base64(tags["b"], "b")).decode("ascii"),
        _identity_domain(tags.get("i"), domain),
    )


def _canonicalisations(value: str) -> tuple[str, str]:
    head, _, body = value.lower().partition("/")
    body = body or "simple"
    if not {head, body} <= _CANONICALISATIONS:
        raise SyntaxInvalid("c= is an unknown canonicalisation")
    return head, body


def _names(value: str) -> tuple[str, ...]:
    names = tuple(name.strip().lower() for name in value.split(":"))
    if len(names) > _MOST_NAMES or not all(_FIELD_NAME.fullmatch(name) for name in names):
        raise SyntaxInvalid("h= is no list of field names")
    if "from" not in names:  # RFC 6376 §5.4
        raise SyntaxInvalid("From isn't signed")
    return names


def _check_times(tags: dict[str, str], now: float) -> None:
    for tag in ("t", "x"):
        if tag in tags and not _NUMBER.fullmatch(tags[tag]):
            raise SyntaxInvalid(f"{tag}= is no time")
    if "x" in tags:
        if int(tags["x"]) <= int(tags.get("t", "-1")):
            raise SyntaxInvalid("x= is before t=")
        if int(tags["x"]) < now:
            raise _Unacceptable("it has expired (x=)")


def _base64(value: str, tag: str) -> bytes:
    try:
        return base64.b64decode(_WHITE_SPACE.sub("", value), validate=True)
    except (binascii.Error, ValueError):
        raise SyntaxInvalid(f"{tag}= isn't base64") from None


def _identity_domain(identity: str | None, domain: str) -> str:
    if identity is None:
        return domain
    _, at, behind = identity.rpartition("@")
    found = normalise_domain(behind) if at else ""
    if found != domain and not found.endswith(f".{domain}"):
        raise SyntaxInvalid("i= is not within d=")
    return found


def _told(tags: dict[str, str], result: Result, reason: str) -> Dkim:
    """Whose signature it claims to be, as far as that can be said."""
    try:
        domain = str(normalise_domain(tags.get("d", "")))
    except SyntaxInvalid:
        domain = ""
    selector = tags.get("s", "")
    algorithm = tags.get("a", "").lower()
    return Dkim(
        result,
        domain,
        selector if _SELECTOR.fullmatch(selector) and len(selector) < 240 else "",
        algorithm if _WORD.fullmatch(algorithm) else "",
        reason,
    )
