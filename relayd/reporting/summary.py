"""A report that was read, as values: what is stored, listed and shown."""

from __future__ import annotations

from typing import Final

import msgspec

from relayd.errors import SyntaxInvalid

#: Lines of one report that are kept, those with the largest counts; their octets as JSON, about; and the characters of
#: each text in them. Ten thousand reports of the worst kind are then 1 GB.
MOST_LINES: Final = 500
MOST_OCTETS: Final = 96 * 1024
MOST_TEXT: Final = 200
#: What dates can be, in unix time: from 2000 to 2100.
_EARLIEST: Final = 946_684_800
_LATEST: Final = 4_102_444_800
#: The largest count that is believed.
MOST_COUNT: Final = 2**40


class TlsLine(msgspec.Struct, frozen=True, kw_only=True, tag="tls"):
    """Sessions under one policy with one result: ``result`` is "success" or a result type of RFC 8460 §4.3."""

    policy: str
    policy_domain: str
    result: str
    host: str = ""
    address: str = ""
    sender: str = ""
    reason: str = ""
    count: int


class DmarcLine(msgspec.Struct, frozen=True, kw_only=True, tag="dmarc"):
    """Messages from one source with the same results. ``spf_aligned`` and ``dkim_aligned`` are DMARC's results,
    ``spf`` and ``dkim`` the raw ones as "domain=result"."""

    source: str
    header_from: str
    envelope_from: str = ""
    disposition: str
    dkim_aligned: bool
    spf_aligned: bool
    reasons: tuple[str, ...] = ()
    spf: tuple[str, ...] = ()
    dkim: tuple[str, ...] = ()
    count: int


Line = TlsLine | DmarcLine


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """One report. ``begin`` and ``end`` are unix times. ``good`` counts sessions with the TLS that was asked for, or
    messages that DMARC passes; ``bad`` the others. ``policy`` is the policy as the reporter saw it, in words;
    ``omitted`` says how many lines beyond MOST_LINES there were."""

    kind: str
    organisation: str
    report_id: str
    domain: str
    begin: int
    end: int
    good: int
    bad: int
    policy: str = ""
    lines: tuple[Line, ...] = ()
    omitted: int = 0


def clean(text: object) -> str:
    """A stranger's text as it is kept: printable, and not too long."""
    if not isinstance(text, str):
        return ""
    return "".join(one if one.isprintable() else "�" for one in text[:MOST_TEXT]).strip()


def most(lines: list[Line]) -> tuple[tuple[Line, ...], int]:
    """The lines with the largest counts, and how many there are beside them."""
    kept, left = list[Line](), MOST_OCTETS
    for line in sorted(lines, key=lambda line: -line.count)[:MOST_LINES]:
        left -= len(msgspec.json.encode(line))
        if left < 0:
            break
        kept.append(line)
    return tuple(kept), len(lines) - len(kept)


def span(begin: int, end: int) -> tuple[int, int]:
    """Both, when they can be a report's. Raises SyntaxInvalid."""
    if not _EARLIEST <= begin <= end <= _LATEST:
        raise SyntaxInvalid("its dates are impossible")
    return begin, end
