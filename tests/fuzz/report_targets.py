"""What must hold of the reports that strangers send, and of the records that ask for ours."""

from __future__ import annotations

from relayd.errors import SyntaxInvalid
from relayd.reporting.destinations import MOST, parse_uris, tls_destinations
from relayd.reporting.read import read_report
from relayd.reporting.summary import MOST_LINES, MOST_TEXT, TlsLine


def report(data: bytes) -> None:
    """A report is read or refused; what was read is printable, bounded and adds up."""
    try:
        summary = read_report(data)
    except SyntaxInvalid:
        return
    assert summary.kind in ("tls", "dmarc")
    assert summary.good >= 0
    assert summary.bad >= 0
    assert len(summary.lines) <= MOST_LINES
    for line in summary.lines:
        texts = [line.result, line.host, line.reason] if isinstance(line, TlsLine) else [line.header_from, *line.dkim]
        assert all(text.isprintable() and len(text) <= 2 * MOST_TEXT + 1 for text in texts)
    assert summary.organisation.isprintable()


def report_record(data: bytes) -> None:
    """What a record asks for is a few destinations that are read back as they were."""
    try:
        found = tls_destinations([data])
    except SyntaxInvalid:
        return
    assert len(found) <= MOST
    for one in found:
        assert [again.target for again in parse_uris(str(one))] == [one.target]
        assert one.host
