"""Where reports are wanted: the URIs of ``rua`` in TLSRPT and DMARC records."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final
from urllib.parse import quote, unquote, urlsplit

from relayd.errors import SyntaxInvalid
from relayd.mail.address import Domain, is_address, normalise_domain, parse_address

#: Destinations of one record that are served: the rest is ignored.
MOST: Final = 5
#: URIs of a list that are looked at, octets of one, and of a record.
_TRIED: Final = 20
_LONGEST: Final = 1_000
_LONGEST_RECORD: Final = 8 * 1024
_URI_CHARACTERS: Final = re.compile(r"[!-~]+")
#: A size limit behind a DMARC URI: "!10m" (RFC 9990 no longer has it; records still do).
_LIMIT: Final = re.compile(r"!(\d{1,9})([kmgt]?)", re.IGNORECASE)
_TLS_VERSION: Final = re.compile(rb"v=TLSRPTv1[ \t]*(;|\Z)")
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,31}")
_UNITS: Final = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}


class Way(StrEnum):
    """How a report travels."""

    MAIL = "mailto"
    HTTPS = "https"


@dataclass(frozen=True, slots=True)
class Destination:
    """``target`` is a mail address, or the URI for HTTPS. ``limit`` is the largest report in octets, None for any."""

    way: Way
    target: str
    limit: int | None = None

    def __str__(self) -> str:
        """As a URI that parse_uri reads back."""
        return f"mailto:{quote(self.target, safe='@+')}" if self.way is Way.MAIL else self.target

    @property
    def host(self) -> Domain:
        """The domain that receives."""
        if self.way is Way.MAIL:
            return parse_address(self.target).domain
        return normalise_domain(urlsplit(self.target).hostname or "")


def parse_uri(text: str) -> Destination:
    """One URI, with the size limit that may stand behind it in a DMARC record. Raises SyntaxInvalid for what can't be
    used: another scheme, no address, a host that is no name."""
    if len(text) > _LONGEST or not _URI_CHARACTERS.fullmatch(text):
        raise SyntaxInvalid("a URI is up to 1000 printable ASCII characters")
    limit = None
    uri, mark, _ = text.partition("!")  # RFC 8460 §3: inside a URI it is written %21
    if mark:
        match = _LIMIT.fullmatch(text[len(uri) :])
        if match is None:
            raise SyntaxInvalid("behind ! stands a size, such as !10m")
        limit = int(match[1]) * _UNITS[match[2].lower()]
    scheme, _, rest = uri.partition(":")
    match scheme.lower():
        case Way.MAIL:
            return Destination(Way.MAIL, _address(rest), limit)
        case Way.HTTPS:
            return Destination(Way.HTTPS, _https(uri), limit)
    raise SyntaxInvalid("reports go to mailto: and https: only")


def parse_uris(text: str) -> tuple[Destination, ...]:
    """The usable ones of a comma-separated list, each once, at most MOST."""
    found: dict[Destination, None] = {}
    for one in text.split(",", _TRIED)[:_TRIED]:
        try:
            found.setdefault(parse_uri(one.strip(" \t")))
        except SyntaxInvalid:
            continue
    return tuple(found)[:MOST]


def _address(rest: str) -> str:
    text = rest.partition("?")[0]  # RFC 6068 §2: what follows are header fields that nobody asked for
    try:
        address = parse_address(unquote(text, errors="strict"))
    except UnicodeDecodeError:
        raise SyntaxInvalid("the address isn't UTF-8") from None
    if address.domain.startswith("["):
        raise SyntaxInvalid("an address literal")
    return str(address)


def _https(uri: str) -> str:
    """A host by name and nothing that could make the request another one: no login, no address, no bare word."""
    try:
        parts = urlsplit(uri)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        raise SyntaxInvalid("not a URI") from None
    if "@" in parts.netloc or parts.fragment or is_address(host) or "." not in host.strip("."):
        raise SyntaxInvalid("https: needs a host by its full name, without login and fragment")
    normalise_domain(host)
    return uri


def tls_destinations(texts: Iterable[bytes]) -> tuple[Destination, ...]:
    """What the TXT records of ``_smtp._tls.DOMAIN`` ask for (RFC 8460 §3); () when there is no TLSRPT record. Raises
    SyntaxInvalid where there is one, or several, that can't be followed."""
    records = [text for text in texts if _TLS_VERSION.match(text)]
    if not records:
        return ()
    if len(records) > 1:
        raise SyntaxInvalid("there is more than one TLSRPT record")
    if len(records[0]) > _LONGEST_RECORD:
        raise SyntaxInvalid(f"the TLSRPT record is longer than {_LONGEST_RECORD // 1024} KiB")
    try:
        _, *fields = [field.strip(" \t") for field in records[0].decode("ascii").split(";")]
    except UnicodeDecodeError:
        raise SyntaxInvalid("the TLSRPT record isn't ASCII") from None
    if fields and not fields[-1]:
        fields.pop()
    found: list[Destination] = []
    for field in fields:
        name, mark, value = field.partition("=")
        if not mark or not _NAME.fullmatch(name):
            raise SyntaxInvalid("a field of the TLSRPT record isn't name=value")
        if name == "rua":
            found += parse_uris(value)
    if not found:
        raise SyntaxInvalid("the TLSRPT record has no rua that can be used")
    return tuple(dict.fromkeys(found))[:MOST]
