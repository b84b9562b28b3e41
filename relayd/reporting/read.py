"""A report out of whatever it came in: a mail, a zip, a gzip, XML or JSON. What it is, its content says."""

from __future__ import annotations

from typing import Final

import msgspec

from relayd.errors import SyntaxInvalid
from relayd.mail.address import normalise_domain
from relayd.mail.headers import Headers
from relayd.mail.meta import Part
from relayd.mail.mime import MimeScanner, decoder
from relayd.reporting.dmarc_read import read_dmarc
from relayd.reporting.summary import Summary
from relayd.reporting.tls_read import read_tls
from relayd.reporting.unpack import MOST_PACKED, unpack

#: Octets of a mail with a report: base64 and line ends make a third more of it.
MOST_MAIL: Final = MOST_PACKED * 3 // 2
#: Parts of a mail that are tried.
_TRIED: Final = 5
_TYPES: Final = frozenset(
    {
        "application/tlsrpt+gzip",
        "application/tlsrpt+json",
        "application/gzip",
        "application/x-gzip",
        "application/zip",
        "application/x-zip",
        "application/x-zip-compressed",
        "application/json",
        "application/xml",
        "text/xml",
    }
)
_ENDINGS: Final = (".json", ".json.gz", ".xml", ".xml.gz", ".gz", ".zip")


def read_report(data: bytes) -> Summary:
    """The report in a file, packed or not. Raises SyntaxInvalid with the reason in words."""
    content = unpack(data).lstrip(b"\xef\xbb\xbf \t\r\n")
    if content.startswith(b"{"):
        return read_tls(content)
    if content.startswith(b"<"):
        return read_dmarc(content)
    raise SyntaxInvalid("neither JSON nor XML")


def read_mail(message: bytes) -> Summary:
    """The report in a mail: the first part that holds one. Raises SyntaxInvalid with the reason in words."""
    if len(message) > MOST_MAIL:
        raise SyntaxInvalid(f"a mail of more than {MOST_MAIL // 2**20} MiB")
    scanner = MimeScanner()
    scanner.feed(message)
    problem = "no part of the mail looks like a report"
    for part in [part for part in scanner.finish() if _may_hold_one(part)][:_TRIED]:
        decoding = decoder(part)
        encoded = message[part.offset : part.offset + part.length]
        try:
            return _about(read_report(decoding.feed(encoded) + decoding.finish()), message)
        except SyntaxInvalid as error:
            problem = str(error)
    raise SyntaxInvalid(problem)


def _about(summary: Summary, message: bytes) -> Summary:
    """Under DANE a report's policies may name hosts only; then the mail says whose they are (RFC 8460 §5.3)."""
    if summary.policy != "tlsa":
        return summary
    field = Headers(message.partition(b"\r\n\r\n")[0] + b"\r\n").first("tls-report-domain")
    try:
        domain = normalise_domain(field.value.decode("ascii").strip()) if field else summary.domain
    except (SyntaxInvalid, UnicodeDecodeError):
        return summary
    return msgspec.structs.replace(summary, domain=domain)


def _may_hold_one(part: Part) -> bool:
    return not part.is_container and (
        part.type in _TYPES or any(name.lower().endswith(_ENDINGS) for name in part.names)
    )
