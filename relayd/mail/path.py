"""The arguments of MAIL FROM: and RCPT TO: (RFC 5321 §4.1.2, RFC 6531 §3.3)."""

from __future__ import annotations

from relayd.errors import SyntaxInvalid
from relayd.mail.address import NULL_SENDER, Address, Domain, Sender, normalise_domain, read_mailbox


class NeedsSmtputf8(SyntaxInvalid):
    """The path is internationalised but SMTPUTF8 wasn't asked for (RFC 6531 §3.5: 553 5.6.7)."""


def parse_reverse_path(text: str, *, smtputf8: bool) -> tuple[Sender, str]:
    """The sender and what follows it: parameters, without the space between. Raises SyntaxInvalid."""
    text = text.lstrip(" \t")
    if text.startswith("<>"):
        return NULL_SENDER, _rest(text, 2)
    return _path(text, smtputf8)


def parse_forward_path(text: str, *, smtputf8: bool, hostname: str) -> tuple[Address, str]:
    """The recipient and what follows it. ``<postmaster>`` is ours (RFC 5321 §4.1.1.3). Raises SyntaxInvalid."""
    text = text.lstrip(" \t")
    if text[:12].lower() == "<postmaster>":
        return Address("postmaster", Domain(hostname)), _rest(text, 12)
    if text.startswith("<>"):
        raise SyntaxInvalid("the null path is no recipient")
    return _path(text, smtputf8)


def _path(text: str, smtputf8: bool) -> tuple[Address, str]:
    if not text.startswith("<"):
        raise SyntaxInvalid("a path begins with <")
    address, end = read_mailbox(text, _skip_source_route(text))
    if not text.startswith(">", end):
        raise SyntaxInvalid("a path ends with >")
    if not smtputf8 and not text.isascii() and not text[:end].isascii():
        raise NeedsSmtputf8("an internationalised address needs SMTPUTF8")
    return address, _rest(text, end + 1)


def _skip_source_route(text: str) -> int:
    """Where the mailbox begins. Source routes are checked and ignored (RFC 5321 appendix C)."""
    if not text.startswith("<@"):
        return 1
    colon = text.find(":")
    while colon >= 0 and "[" in text[:colon] and text.rfind("[", 0, colon) > text.rfind("]", 0, colon):
        colon = text.find(":", colon + 1)  # a colon within an IPv6 literal
    if colon < 0:
        raise SyntaxInvalid("a source route ends with a colon")
    for hop in text[1:colon].split(","):
        if not hop.startswith("@"):
            raise SyntaxInvalid("each host of a source route begins with @")
        normalise_domain(hop[1:])
    return colon + 1


def _rest(text: str, end: int) -> str:
    rest = text[end:]
    if rest and rest[0] not in " \t":
        raise SyntaxInvalid("a space must follow the path")
    return rest.strip(" \t")
