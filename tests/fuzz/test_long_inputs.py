"""No parser takes longer than its input is long: what would take a square of it never ends within pytest's limit."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import pytest

from relayd.authenticity import dmarc_record, spf_record
from relayd.authenticity.authentication_results import claimed_id
from relayd.authenticity.dkim_key import KeyUnfit, read_key
from relayd.authenticity.dkim_signature import SignatureUnfit, parse_signature
from relayd.directory import nta7516
from relayd.errors import SyntaxInvalid
from relayd.inspection.names import extensions
from relayd.mail.address import Domain
from relayd.mail.address_list import parse_address_list
from relayd.mail.headers import Headers
from relayd.mail.mime import MimeScanner
from relayd.mail.mime_header import read_part_header
from relayd.mail.parameters import parse_mail_parameters, parse_rcpt_parameters
from relayd.mail.path import parse_forward_path
from relayd.mail.words import decode_words
from relayd.reporting.destinations import parse_uris, tls_destinations
from relayd.reporting.read import read_report
from relayd.smtp.scram import Exchange
from relayd.tls.mta_sts import MAX_OCTETS, parse_policy, read_records
from tests.fuzz.mutation import TOKENS

LENGTH = 256 * 1024
#: Read token by token, and of a field of 16 KiB at most.
SHORTER = {"address list": 32 * 1024}


def _scan(data: bytes) -> None:
    scanner = MimeScanner()
    scanner.feed(b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n")
    scanner.feed(data)
    scanner.finish()


def _headers(data: bytes) -> None:
    headers = Headers(b"From: " + data + b"\r\nSubject: " + data + b"\r\n")
    headers.address_defects("from")
    headers.text("subject")


def _text(parse: Callable[[str], object]) -> Callable[[bytes], None]:
    def run(data: bytes) -> None:
        try:
            parse(data.decode("utf-8", "surrogateescape"))
        except SyntaxInvalid:
            pass

    return run


def _exchange(data: bytes) -> None:
    try:
        Exchange(b"n,,n=" + data)
    except SyntaxInvalid:
        pass


def _destinations(data: bytes) -> None:
    with contextlib.suppress(SyntaxInvalid):
        tls_destinations([b"v=TLSRPTv1; rua=" + data])


def _report(data: bytes) -> None:
    with contextlib.suppress(SyntaxInvalid):
        read_report(data)


PARSERS: dict[str, Callable[[bytes], object]] = {
    "mime": _scan,
    "part header": lambda data: read_part_header(b"\nContent-Type: text/plain; name=" + data + b"\r\n"),
    "headers": _headers,
    "address list": _text(parse_address_list),
    "words": _text(decode_words),
    "path": _text(lambda text: parse_forward_path(f"<{text}>", smtputf8=True, hostname="h")),
    "mail parameters": _text(parse_mail_parameters),
    "rcpt parameters": _text(lambda text: parse_rcpt_parameters(text, smtputf8=True)),
    "names": _text(extensions),
    "report destinations": _text(parse_uris),
    "TLSRPT record": _destinations,
    "report": _report,
    "report as XML": lambda data: _report(b"<feedback><record><row>" + data),
    "report as JSON": lambda data: _report(b'{"report-id": "' + data),
    "scram": _exchange,
}
#: What is long in itself, and what begins something again and again that never ends.
PATTERNS = [
    *TOKENS,
    b'; name="',
    b"; name*0=",
    b"; a=b",
    b"a@",
    b'"\\',
    b"=?a?q?",
    b"(\\",
    b"<a@b>,",
    b"\n ",
    b"\n--b-",
    b"a=b ",
]


@pytest.mark.parametrize("name", PARSERS)
def test_long_repetitions_end(name: str) -> None:
    for pattern in PATTERNS:
        PARSERS[name](pattern * (SHORTER.get(name, LENGTH) // len(pattern)))


#: What a stranger publishes, in DNS and on his web server: how it begins, and who reads it.
PUBLISHED: dict[str, tuple[bytes, Callable[[bytes], object]]] = {
    "dmarc": (b"v=DMARC1; p=", dmarc_record.parse_record),
    "spf": (b"v=spf1 ", spf_record.parse_record),
    "spf domain": (b"v=spf1 a:", spf_record.parse_record),
    "dkim key": (b"v=DKIM1; p=", lambda data: read_key(data, "rsa-sha256")),
    "dkim signature": (b"v=1; a=rsa-sha256; d=d.example; s=s; h=from; b=", lambda data: parse_signature(data, 0.0)),
    "mta-sts record": (b"v=STSv1; id=", lambda data: read_records([data])),
    "mta-sts policy": (b"version: STSv1\nmode:", lambda data: parse_policy(Domain("d.example"), "1", data)),
    "tlsrpt": (b"v=TLSRPTv1; rua=", lambda data: tls_destinations([data])),
    "nta 7516": (b"v=NTA7516-1;startdate=", lambda data: nta7516.read([data])),
    "authentication-results": (b"(", claimed_id),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_long_repetitions_that_end_wrongly_end_too(name: str) -> None:
    begin, read = PUBLISHED[name]
    # 8 KiB is what most of them read of a record, 64 KiB the longest that DNS or a policy file can be.
    for length in (8 * 1024 - len(begin) - 1, MAX_OCTETS):
        for pattern in (*PATTERNS, b" ", b"\t", b".", b"%{o}", b"a:", b"a\r\n "):
            try:
                read(begin + pattern * (length // len(pattern)) + b"\x01")
            except (SyntaxInvalid, KeyUnfit, SignatureUnfit):
                pass
