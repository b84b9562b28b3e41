"""Reading reports of others: those that are well, and what somebody with bad intentions makes of them."""

from __future__ import annotations

import gzip
import json
import struct
import time
import zipfile
from typing import Any

import msgspec
import pytest

from relayd.errors import SyntaxInvalid
from relayd.reporting import unpack
from relayd.reporting.counts import Kind
from relayd.reporting.heading import Heading
from relayd.reporting.read import read_mail, read_report
from relayd.reporting.summary import MOST_LINES, MOST_OCTETS, MOST_TEXT, DmarcLine, TlsLine
from relayd.reporting.tls_report import tls_report
from relayd.tls.results import PolicyType, ResultType, TlsResult
from tests.kit.reports import DMARC, GOOGLE_TLS, OLD_DMARC, TLS, TLS_MAIL, mail, zipped


@pytest.mark.parametrize(
    "data",
    [TLS, b"\xef\xbb\xbf" + TLS, b"\r\n " + TLS, gzip.compress(TLS), gzip.compress(TLS) + b"\0" * 512, zipped(TLS)],
    ids=["plain", "byte order mark", "white space", "gzip", "padded gzip", "zip"],
)
def test_a_tls_report(data: bytes) -> None:
    summary = read_report(data)
    assert (summary.kind, summary.domain, summary.organisation) == ("tls", "noord.example", "Company-X")
    assert (summary.good, summary.bad, summary.end - summary.begin) == (5326, 303, 86399)
    assert [(line.result, line.count) for line in summary.lines if isinstance(line, TlsLine)] == [
        ("success", 5326),
        ("starttls-not-supported", 200),
        ("certificate-expired", 100),
        ("validation-failure", 3),
    ]
    last = summary.lines[-1]
    assert isinstance(last, TlsLine)
    assert (last.host, last.reason) == ("mx-backup.mail.noord.example", "X509_V_ERR_PROXY_PATH_LENGTH_EXCEEDED")


def test_a_dmarc_report() -> None:
    summary = read_report(zipped(DMARC))
    assert (summary.kind, summary.domain, summary.organisation) == ("dmarc", "noord.example", "Sample Reporter")
    assert (summary.good, summary.bad) == (123, 4)
    assert summary.policy == "p=quarantine; sp=none; testing=n"
    first, second = summary.lines
    assert isinstance(first, DmarcLine)
    assert isinstance(second, DmarcLine)
    assert (first.source, first.dkim_aligned, first.spf_aligned) == ("192.0.2.123", True, False)
    assert (first.dkim, first.spf) == (("noord.example=pass",), ("noord.example=fail",))
    assert (second.source, second.disposition, second.reasons) == ("2001:db8::7", "quarantine", ("local_policy",))


def test_a_dmarc_report_of_the_old_kind() -> None:
    summary = read_report(gzip.compress(OLD_DMARC))
    assert (summary.good, summary.bad, summary.policy) == (
        2,
        0,
        "p=reject; sp=reject; adkim=r; aspf=r; pct=100",
    )


@pytest.mark.parametrize(
    "message",
    [
        TLS_MAIL,
        mail(TLS, "application/tlsrpt+json", "r.json"),
        mail(gzip.compress(TLS), "application/octet-stream", "r.json.gz"),
        mail(zipped(DMARC), "application/zip", "r.zip"),
        mail(gzip.compress(DMARC), "application/gzip", "r.xml.gz"),
        mail(zipped(DMARC), "application/octet-stream", "R.ZIP"),
        mail(gzip.compress(DMARC), "application/zip", "wrong.zip"),
    ],
)
def test_a_mail_with_a_report(message: bytes) -> None:
    assert read_mail(message).domain == "noord.example"


def test_a_mail_that_is_nothing_but_the_report() -> None:
    message = b"From: a@b.example\r\nContent-Type: application/zip\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    import base64

    assert read_mail(message + base64.encodebytes(zipped(DMARC)).replace(b"\n", b"\r\n")).kind == "dmarc"


def test_what_relayd_writes_relayd_reads() -> None:
    heading = Heading(Kind.TLS, "Us", "us@relay.example", "reports@relay.example", "noord.example", "2026-11-22")
    counted = [
        (TlsResult("noord.example", PolicyType.NONE), 7),
        (
            TlsResult(
                "noord.example",
                PolicyType.TLSA,
                ("3 1 1 aa",),
                (),
                "mx.noord.example",
                "192.0.2.1",
                ResultType.TLSA_INVALID,
                "no match",
            ),
            2,
        ),
    ]
    summary = read_report(gzip.compress(tls_report(heading, counted)))
    assert (summary.domain, summary.report_id, summary.good, summary.bad) == ("noord.example", heading.id, 7, 2)
    assert (summary.begin, summary.end) == (heading.begin, heading.end)


def changed(**changes: Any) -> bytes:
    return json.dumps(GOOGLE_TLS | changes).encode()


def policy(**changes: Any) -> bytes:
    entry = GOOGLE_TLS["policies"][0]
    return changed(policies=[entry | changes])


@pytest.mark.parametrize(
    "data",
    [
        changed(**{"organization-name": None}),
        changed(**{"contact-info": None}),
        policy(policy={"policy-type": "no-policy-found", "policy-domain": "noord.example"}),
        policy(policy={"policy-type": "sts", "policy-domain": "NOORD.example.", "policy-string": "version: STSv1"}),
        policy(policy={"policy-type": "sts", "policy-domain": "noord.example", "mx-host": "mx.noord.example"}),
        policy(summary={"total-successful-session-count": "5", "total-failure-session-count": "0"}),
        policy(**{"failure-details": None}),
        policy(**{"failure-details": [{"result-type": "new-kind", "failed-session-count": 1}]}),
        changed(
            **{"date-range": {"start-datetime": "2026-11-22T00:00:00", "end-datetime": "2026-11-23T00:00:00+00:00"}}
        ),
        changed(extra={"a": [1, 2, {"b": None}]}),
    ],
)
def test_tls_reports_that_bend_the_form_are_read(data: bytes) -> None:
    assert read_report(data).domain == "noord.example"


def xml(record: str = "", head: str = "", domain: str = "noord.example") -> bytes:
    text = DMARC.decode().replace("<domain>noord.example</domain><p>", f"<domain>{domain}</domain><p>")
    text = text.replace("<feedback", head + "<feedback", 1)
    return text.replace("<record>", record + "<record>", 1).encode()


LAUGHS = '<!DOCTYPE f [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
OUTSIDE = '<!DOCTYPE f [<!ENTITY a SYSTEM "file:///etc/passwd">]>'
PARAMETER = '<!DOCTYPE f SYSTEM "http://evil.example/f.dtd">'


def zip_with(**change: int) -> bytes:
    """A zip whose central directory tells lies."""
    data = bytearray(zipped(b"x" * 1000))
    at = data.rindex(b"PK\x01\x02")
    for name, value in change.items():
        offset = {"flags": 8, "method": 10, "packed": 20, "size": 24, "offset": 42}[name]
        struct.pack_into("<H" if offset < 20 else "<I", data, at + offset, value)
    return bytes(data)


HOSTILE = {
    "nothing": b"",
    "text": b"hello",
    "noise": bytes(range(256)) * 10,
    "a picture": b"\x89PNG\r\n\x1a\n",
    "gzip cut off": gzip.compress(TLS)[:-20],
    "gzip damaged": gzip.compress(TLS)[:40] + b"\xff" * 60,
    "gzip bomb": gzip.compress(b" " * (unpack.MOST + 1)),
    "gzip of gzip": gzip.compress(gzip.compress(TLS)),
    "gzip of many members": gzip.compress(b"") * 1000,
    "too large": b"{" + b" " * unpack.MOST_PACKED,
    "zip bomb": zipped(b" " * (unpack.MOST + 1)),
    "zip that says it is small": zip_with(size=10),
    "zip that says it is large": zip_with(size=2**31),
    "zip encrypted": zip_with(flags=1),
    "zip of an unknown method": zip_with(method=99),
    "zip of bzip2": zipped(b"<a/>", method=zipfile.ZIP_BZIP2),
    "zip of lzma": zipped(b"<a/>", method=zipfile.ZIP_LZMA),
    "zip that points elsewhere": zip_with(offset=2**31 - 1),
    "zip cut off": zipped(DMARC)[:-30],
    "zip of nothing": b"PK\x05\x06" + b"\0" * 18,
    "zip of a folder": zipped(b"", "folder/"),
    "zip of a zip": zipped(zipped(DMARC), "x.zip"),
    "xml: entities": xml(head=LAUGHS),
    "xml: outside entity": xml(head=OUTSIDE),
    "xml: outside document type": xml(head=PARAMETER),
    "xml: bare document type": xml(head="<!DOCTYPE feedback>"),
    "xml: deep": b"<a>" * 50 + b"</a>" * 50,
    "xml: very deep": b"<a>" * 500_000,
    "xml: many elements": b"<feedback>" + b"<a/>" * 200_000 + b"</feedback>",
    "xml: many elements in a namespace of megabytes": gzip.compress(
        b'<feedback xmlns="' + b"u" * (5 * 2**20) + b'">' + b"<a/>" * 90_000 + b"</feedback>"
    ),
    "xml: cut off": DMARC[:-20],
    "xml: something else": b"<html><body/></html>",
    "xml: no record": b"<feedback><policy_published><domain>noord.example</domain></policy_published></feedback>",
    "xml: bad domain": xml(domain="no domain at all!"),
    "xml: no domain": xml(domain=""),
    "xml: count no number": DMARC.replace(b"<count>123<", b"<count>many<"),
    "xml: count negative": DMARC.replace(b"<count>123<", b"<count>-1<"),
    "xml: count huge": DMARC.replace(b"<count>123<", b"<count>" + b"9" * 30 + b"<"),
    "xml: count in other digits": DMARC.replace(b"<count>123<", "<count>١٢٣<".encode()),
    "xml: source no address": DMARC.replace(b"192.0.2.123", b"a.b.c.d"),
    "xml: unknown encoding": DMARC.replace(b"UTF-8", b"x-none"),
    "xml: wrong octets": DMARC.replace(b"Sample", b"\xff\xfe\xfd"),
    "xml: NUL": DMARC.replace(b"Sample", b"Sam\0ple"),
    "json: a list": b"[]",
    "json: empty": b"{}",
    "json: cut off": TLS[:-10],
    "json: deep": b'{"policies":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "json: deep in what is ignored": TLS[:-1] + b', "x":' + b'{"x":' * 100_000 + b"1" + b"}" * 100_000 + b"}",
    "json: no policies": changed(policies=[]),
    "json: policies no list": changed(policies={"a": 1}),
    "json: dates": changed(**{"date-range": {"start-datetime": "yesterday", "end-datetime": "today"}}),
    "json: far dates": changed(**{"date-range": {"start-datetime": "0001-01-01T00:00:00+23:59", "end-datetime": "x"}}),
    "json: dates of long ago": changed(
        **{"date-range": {"start-datetime": "0001-01-01T00:00:00Z", "end-datetime": "0001-01-02T00:00:00Z"}}
    ),
    "json: dates the wrong way round": changed(
        **{"date-range": {"start-datetime": "2026-11-23T00:00:00Z", "end-datetime": "2026-11-22T00:00:00Z"}}
    ),
    "xml: dates of a far future": DMARC.replace(b"<end>1795391999<", b"<end>179539199900<"),
    "json: negative count": policy(summary={"total-successful-session-count": -1}),
    "json: huge count": policy(summary={"total-successful-session-count": 10**30}),
    "json: fraction": policy(summary={"total-successful-session-count": 1.5}),
    "json: infinite": TLS.replace(b"5326", b"1e999"),
    "json: bad domain": policy(policy={"policy-type": "sts", "policy-domain": "../../etc/passwd"}),
    "json: wrong octets": TLS.replace(b"Company-X", b"\xff\xfe"),
    "json: too much": TLS[:-1] + b" " * (3 * 2**20) + b"}",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_no_report_is_said_to_be_none(name: str) -> None:
    started = time.process_time()
    with pytest.raises(SyntaxInvalid) as raised:
        read_report(HOSTILE[name])
    assert str(raised.value)
    assert time.process_time() - started < 5.0


def test_texts_are_bounded_and_printable() -> None:
    named = policy(
        **{
            "failure-details": [
                {
                    "result-type": "x\x1b[31m\u202e" + "y" * 10_000,
                    "failed-session-count": 1,
                    "failure-reason-code": "a\r\nb",
                }
            ]
        }
    )
    line = next(line for line in read_report(named).lines if isinstance(line, TlsLine) and line.result != "success")
    assert len(line.result) <= MOST_TEXT
    assert line.result.isprintable()
    assert line.reason == "a��b"


def test_of_many_lines_the_largest_are_kept() -> None:
    details = [{"result-type": f"r{number}", "failed-session-count": number} for number in range(2000)]
    summary = read_report(policy(**{"failure-details": details}))
    assert len(summary.lines) == MOST_LINES
    assert summary.omitted == 2001 - MOST_LINES
    assert min(line.count for line in summary.lines) == 2000 - (MOST_LINES - 1)
    long = [{"result-type": "x" * MOST_TEXT, "failure-reason-code": "\\" * MOST_TEXT} for _ in range(1500)]
    summary = read_report(policy(**{"failure-details": long}))
    assert len(msgspec.json.encode(summary)) < 2 * MOST_OCTETS


@pytest.mark.parametrize(
    "message",
    [
        b"From: a@b.example\r\nSubject: hello\r\n\r\nno report here\r\n",
        mail(b"junk", "application/gzip", "x.xml.gz"),
        mail(TLS, "text/plain", "notes.txt"),
        b"",
        b"Content-Type: multipart/report; boundary=x\r\n\r\n--x\r\n" * 100,
    ],
)
def test_a_mail_without_one(message: bytes) -> None:
    with pytest.raises(SyntaxInvalid):
        read_mail(message)


DANE = json.dumps(
    GOOGLE_TLS
    | {
        "policies": [
            {
                "policy": {"policy-type": "tlsa", "policy-domain": "mx.provider.example"},
                "summary": {"total-successful-session-count": 1, "total-failure-session-count": 0},
            }
        ]
    }
).encode()


@pytest.mark.parametrize(
    ("header", "domain"),
    [
        (b"TLS-Report-Domain: NOORD.example\r\n", "noord.example"),
        (b"", "mx.provider.example"),
        (b"TLS-Report-Domain: not a domain\r\n", "mx.provider.example"),
        (b"TLS-Report-Domain: n\xf6rd.example\r\n", "mx.provider.example"),
    ],
)
def test_under_dane_the_mail_says_whose_hosts_they_are(header: bytes, domain: str) -> None:
    assert read_mail(header + mail(DANE, "application/tlsrpt+json", "r.json")).domain == domain
    assert read_mail(header + TLS_MAIL).domain == "noord.example"


def test_a_reason_names_what_is_wrong_with_the_report_in_the_mail() -> None:
    with pytest.raises(SyntaxInvalid, match="unpacks to more than"):
        read_mail(mail(HOSTILE["gzip bomb"]))
