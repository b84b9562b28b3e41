"""The DMARC aggregate report as XML (RFC 9990), made of what was counted.

Written by the working group's last draft and its schema; what the published text changed since isn't known here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final
from xml.etree.ElementTree import Element, SubElement, tostring

from relayd import __version__
from relayd.reporting.dmarc_rows import DmarcRow
from relayd.reporting.heading import Heading

NAMESPACE: Final = "urn:ietf:params:xml:ns:dmarc-2.0"
#: What XML 1.0 §2.2 can't hold, whatever way it is written.
_UNWRITABLE: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_DISPOSITIONS: Final = ("none", "quarantine", "reject")
_SPF_RESULTS: Final = frozenset({"none", "neutral", "pass", "fail", "softfail", "temperror", "permerror"})
_DKIM_RESULTS: Final = frozenset({"none", "pass", "fail", "policy", "neutral", "temperror", "permerror"})

Published = tuple[tuple[str, str], ...]


def published_most(counted: Sequence[tuple[DmarcRow, int]]) -> Published:
    """The record that most of the day's messages met: a report names one, and which came last isn't kept."""
    totals: dict[Published, int] = {}
    for row, count in counted:
        totals[row.published] = totals.get(row.published, 0) + count
    return max(sorted(totals), key=totals.__getitem__)


def dmarc_report(heading: Heading, counted: Sequence[tuple[DmarcRow, int]]) -> bytes:
    """The report, not compressed. ``counted`` isn't empty."""
    root = Element("feedback", {"xmlns": NAMESPACE})
    _text(root, "version", "1.0")
    _metadata(root, heading)
    _policy(root, heading.domain, dict(published_most(counted)))
    for row, count in sorted(counted, key=lambda item: (-item[1], repr(item[0]))):
        _record(root, row, count)
    text: str = tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}'.encode()


def _metadata(root: Element, heading: Heading) -> None:
    metadata = SubElement(root, "report_metadata")
    _text(metadata, "org_name", heading.organisation)
    _text(metadata, "email", heading.contact)
    _text(metadata, "report_id", heading.id)
    span = SubElement(metadata, "date_range")
    _text(span, "begin", str(heading.begin))
    _text(span, "end", str(heading.end))
    _text(metadata, "generator", f"relayd {__version__}")


def _policy(root: Element, domain: str, tags: Mapping[str, str]) -> None:
    """Tags that the record doesn't have stand here with their defaults."""
    p = _one_of(tags.get("p"), _DISPOSITIONS, "none")
    sp = _one_of(tags.get("sp"), _DISPOSITIONS, p)
    policy = SubElement(root, "policy_published")
    for name, value in (
        ("domain", domain),
        ("discovery_method", "treewalk"),
        ("p", p),
        ("sp", sp),
        ("np", _one_of(tags.get("np"), _DISPOSITIONS, sp)),
        ("fo", tags.get("fo", "0")),
        ("adkim", _one_of(tags.get("adkim"), ("r", "s"), "r")),
        ("aspf", _one_of(tags.get("aspf"), ("r", "s"), "r")),
        ("testing", _one_of(tags.get("t"), ("y", "n"), "n")),
    ):
        _text(policy, name, value)


def _record(root: Element, row: DmarcRow, count: int) -> None:
    record = SubElement(root, "record")
    line = SubElement(record, "row")
    _text(line, "source_ip", row.source)
    _text(line, "count", str(count))
    evaluated = SubElement(line, "policy_evaluated")
    _text(evaluated, "disposition", row.applied)
    _text(evaluated, "dkim", "pass" if row.dkim_aligned else "fail")
    _text(evaluated, "spf", "pass" if row.spf_aligned else "fail")
    if row.override:
        reason = SubElement(evaluated, "reason")
        _text(reason, "type", row.override)
        if row.comment:
            _text(reason, "comment", row.comment)
    identifiers = SubElement(record, "identifiers")
    _text(identifiers, "header_from", row.header_from)
    _text(identifiers, "envelope_from", row.envelope_from)
    _results(SubElement(record, "auth_results"), row)


def _results(results: Element, row: DmarcRow) -> None:
    for domain, selector, result in row.dkim:
        dkim = SubElement(results, "dkim")
        _text(dkim, "domain", domain)
        _text(dkim, "selector", selector)
        _text(dkim, "result", result if result in _DKIM_RESULTS else "neutral")
    domain, result = row.spf
    spf = SubElement(results, "spf")
    _text(spf, "domain", domain)
    _text(spf, "scope", "mfrom")
    _text(spf, "result", result if result in _SPF_RESULTS else "none")


def _one_of(value: str | None, allowed: Sequence[str], default: str) -> str:
    return value.lower() if value is not None and value.lower() in allowed else default


def _text(parent: Element, name: str, value: str) -> None:
    SubElement(parent, name).text = _UNWRITABLE.sub("�", value)
