"""Reading DMARC aggregate reports: RFC 9990's, and those of RFC 7489 that most of the world sends still."""

from __future__ import annotations

from ipaddress import ip_address

from relayd.errors import SyntaxInvalid
from relayd.mail.address import normalise_domain
from relayd.reporting.summary import MOST_COUNT, DmarcLine, Line, Summary, clean, most, span
from relayd.reporting.xml_tree import Node, parse_xml

_TAGS = ("p", "sp", "np", "adkim", "aspf", "testing", "pct")


def read_dmarc(data: bytes) -> Summary:
    """The report in ``data``, not compressed. Raises SyntaxInvalid."""
    root = parse_xml(data)
    if root.name != "feedback":
        raise SyntaxInvalid("its XML isn't that of a DMARC report")
    records = root.all("record")
    if not records:
        raise SyntaxInvalid("it has no record")
    every = [_line(record) for record in records]
    passed = sum(line.count for line in every if line.dkim_aligned or line.spf_aligned)
    kept: list[Line] = [*every]
    lines, omitted = most(kept)
    metadata = root.first("report_metadata") or Node("")
    begin, end = (_number(metadata.word("date_range", name)) for name in ("begin", "end"))
    begin, end = span(begin, end)
    published = root.first("policy_published") or Node("")
    return Summary(
        kind="dmarc",
        organisation=clean(metadata.word("org_name") or metadata.word("email")),
        report_id=clean(metadata.word("report_id")),
        domain=normalise_domain(published.word("domain")),
        begin=begin,
        end=end,
        good=passed,
        bad=sum(line.count for line in every) - passed,
        policy="; ".join(f"{tag}={clean(published.word(tag))}" for tag in _TAGS if published.word(tag)),
        lines=lines,
        omitted=omitted,
    )


def _line(record: Node) -> DmarcLine:
    row = record.first("row") or Node("")
    evaluated = row.first("policy_evaluated") or Node("")
    results = record.first("auth_results") or Node("")
    return DmarcLine(
        source=_address(row.word("source_ip")),
        header_from=clean(record.word("identifiers", "header_from")),
        envelope_from=clean(record.word("identifiers", "envelope_from")),
        disposition=clean(evaluated.word("disposition")),
        dkim_aligned=evaluated.word("dkim") == "pass",
        spf_aligned=evaluated.word("spf") == "pass",
        reasons=tuple(clean(one.word("type")) for one in evaluated.all("reason")[:5]),
        spf=tuple(_result(one) for one in results.all("spf")[:2]),
        dkim=tuple(_result(one) for one in results.all("dkim")[:10]),
        count=_number(row.word("count")),
    )


def _result(node: Node) -> str:
    return f"{clean(node.word('domain'))}={clean(node.word('result'))}"


def _address(text: str) -> str:
    try:
        return str(ip_address(text))
    except ValueError:
        raise SyntaxInvalid("a source is no IP address") from None


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > 15 or int(text) > MOST_COUNT:
        raise SyntaxInvalid("what should be a number isn't one, or is too large")
    return int(text)
