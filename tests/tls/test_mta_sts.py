"""MTA-STS records and policies, rule by rule (RFC 8461 §3.1, §3.2)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.errors import SyntaxInvalid
from relayd.mail.address import Domain
from relayd.tls.mta_sts import (
    MAX_AGE,
    StsReason,
    parse_policy,
    policy_file,
    policy_id,
    read_records,
)
from relayd.tls.results import ResultType
from relayd.tls.sts_policy import StsMode, StsPolicy

CLINIC = Domain("clinic.example")
GOOD = b"version: STSv1\nmode: enforce\nmx: mx.clinic.example\nmax_age: 86400\n"

RECORDS = {
    "as in the RFC": ([b"v=STSv1; id=20160831085700Z;"], "20160831085700Z"),
    "no delimiter at the end": ([b"v=STSv1; id=1"], "1"),
    "without space": ([b"v=STSv1;id=a1;"], "a1"),
    "tabs and spaces around delimiters": ([b"v=STSv1;\t id=a1 \t;"], "a1"),
    "unknown fields are passed over": ([b"v=STSv1; x.y-z_1=!~; id=a1; b=c;"], "a1"),
    "of two ids the first counts": ([b"v=STSv1; id=a1; id=b2"], "a1"),
    "32 characters": ([b"v=STSv1; id=" + b"a" * 32], "a" * 32),
    "other TXT records are passed over": ([b"v=spf1 -all", b"v=STSv1; id=a1;", b"", b"\xff\0"], "a1"),
    "no record": ([], StsReason.NO_RECORD),
    "only others": ([b"v=spf1 -all", b"hello"], StsReason.NO_RECORD),
    "the version is case-sensitive": ([b"v=stsv1; id=a1"], StsReason.NO_RECORD),
    "the version comes first": ([b"id=a1; v=STSv1;"], StsReason.NO_RECORD),
    "another version": ([b"v=STSv2; id=a1"], StsReason.NO_RECORD),
    "version 10 isn't version 1": ([b"v=STSv10; id=a1"], StsReason.NO_RECORD),
    "version alone": ([b"v=STSv1"], StsReason.NO_RECORD),
    "space in front": ([b" v=STSv1; id=a1"], StsReason.NO_RECORD),
    "two records are none": ([b"v=STSv1; id=a1;", b"v=STSv1; id=b2;"], StsReason.SEVERAL_RECORDS),
    "the same twice too": ([b"v=STSv1; id=a1;", b"v=STSv1; id=a1;"], StsReason.SEVERAL_RECORDS),
    "a broken one beside a good one": ([b"v=STSv1;", b"v=STSv1; id=a1;"], StsReason.SEVERAL_RECORDS),
    "nothing behind the version": ([b"v=STSv1;"], StsReason.RECORD_INVALID),
    "no id": ([b"v=STSv1; x=y;"], StsReason.RECORD_INVALID),
    "empty id": ([b"v=STSv1; id=;"], StsReason.RECORD_INVALID),
    "33 characters": ([b"v=STSv1; id=" + b"a" * 33], StsReason.RECORD_INVALID),
    "a hyphen in the id": ([b"v=STSv1; id=2026-01-01;"], StsReason.RECORD_INVALID),
    "a space in the id": ([b"v=STSv1; id=a 1;"], StsReason.RECORD_INVALID),
    "ID isn't id": ([b"v=STSv1; ID=a1;"], StsReason.RECORD_INVALID),
    "space around =": ([b"v=STSv1; id = a1;"], StsReason.RECORD_INVALID),
    "an empty field": ([b"v=STSv1;; id=a1"], StsReason.RECORD_INVALID),
    "two delimiters at the end": ([b"v=STSv1; id=a1;;"], StsReason.RECORD_INVALID),
    "a comma for a semicolon": ([b"v=STSv1; id=a1, x=y"], StsReason.RECORD_INVALID),
    "another = in a value": ([b"v=STSv1; id=a1; x=y=z"], StsReason.RECORD_INVALID),
    "beyond ASCII": ("v=STSv1; id=a1; x=é".encode(), StsReason.RECORD_INVALID),
    "NUL": ([b"v=STSv1; id=a1\0"], StsReason.RECORD_INVALID),
    "a line end": ([b"v=STSv1; id=a1\n"], StsReason.RECORD_INVALID),
    "a field name that is too long": ([b"v=STSv1; id=a1; " + b"a" * 33 + b"=1"], StsReason.RECORD_INVALID),
}


@pytest.mark.parametrize("row", RECORDS)
def test_records(row: str) -> None:
    texts, expected = RECORDS[row]
    found = read_records([texts] if isinstance(texts, bytes) else texts)
    if isinstance(expected, StsReason):
        assert (found.reason, found.id) == (expected, "")
    else:
        assert (found.reason, found.id) == (StsReason.FOUND, expected)


def made(mode: StsMode = StsMode.ENFORCE, *mx: str, max_age: int = 86400) -> StsPolicy:
    return StsPolicy(CLINIC, "a1", mode, mx or ("mx.clinic.example",), max_age)


POLICIES = {
    "LF": (GOOD, made()),
    "CRLF": (GOOD.replace(b"\n", b"\r\n"), made()),
    "both mixed": (GOOD.replace(b"\n", b"\r\n", 2), made()),
    "no line end at the end": (GOOD.rstrip(), made()),
    "no space behind the colon": (GOOD.replace(b": ", b":"), made()),
    "much space behind the colon": (GOOD.replace(b": ", b": \t  "), made()),
    "space at the end of lines": (GOOD.replace(b"\n", b" \t\n"), made()),
    "any order": (b"max_age: 86400\nmx: mx.clinic.example\nmode: enforce\nversion: STSv1\n", made()),
    "empty lines": (b"\n" + GOOD.replace(b"mode", b"\r\n\nmode") + b"\n\n", made()),
    "unknown keys": (GOOD + b"x-y.z_1: some value: with \xc3\xa9\n", made()),
    "an unknown key without a value": (GOOD + b"x:\n", made()),
    "of two modes the first": (GOOD + b"mode: none\n", made()),
    "of two max_age the first": (GOOD + b"max_age: 1\n", made()),
    "of two versions the first": (GOOD + b"version: STSv2\n", made()),
    "testing": (GOOD.replace(b"enforce", b"testing"), made(StsMode.TESTING)),
    "none": (GOOD.replace(b"enforce", b"none"), made(StsMode.NONE)),
    "none needs no mx": (
        b"version: STSv1\nmode: none\nmax_age: 60\n",
        StsPolicy(CLINIC, "a1", StsMode.NONE, (), 60),
    ),
    "several mx, one twice": (
        GOOD + b"mx: b.example\nmx: *.c.example\nmx: b.example\n",
        made(StsMode.ENFORCE, "mx.clinic.example", "b.example", "*.c.example"),
    ),
    "mx in lower case, without the last dot": (
        GOOD.replace(b"mx.clinic.example", b"MX.Clinic.Example."),
        made(),
    ),
    "an internationalised mx in A-labels": (
        GOOD.replace(b"mx.clinic.example", "mx.b\u00fccher.example".encode()),
        made(StsMode.ENFORCE, "mx.xn--bcher-kva.example"),
    ),
    "max_age 0": (GOOD.replace(b"86400", b"0"), made(max_age=0)),
    "max_age of a year": (GOOD.replace(b"86400", b"31557600"), made(max_age=MAX_AGE)),
    "more than a year is a year": (GOOD.replace(b"86400", b"9999999999"), made(max_age=MAX_AGE)),
    "eleven digits": (GOOD.replace(b"86400", b"00000000001"), None),
    "negative": (GOOD.replace(b"86400", b"-1"), None),
    "a fraction": (GOOD.replace(b"86400", b"1.5"), None),
    "digits of another script": (GOOD.replace(b"86400", "٣".encode()), None),
    "a unit": (GOOD.replace(b"86400", b"1d"), None),
    "no max_age": (GOOD.replace(b"max_age", b"maxage"), None),
    "no version": (GOOD.replace(b"version: STSv1\n", b""), None),
    "another version": (GOOD.replace(b"STSv1", b"STSv2"), None),
    "version in lower case": (GOOD.replace(b"STSv1", b"stsv1"), None),
    "no mode": (GOOD.replace(b"mode: enforce\n", b""), None),
    "another mode": (GOOD.replace(b"enforce", b"report"), None),
    "mode in capitals": (GOOD.replace(b"enforce", b"Enforce"), None),
    "Mode isn't mode": (GOOD.replace(b"mode", b"Mode"), None),
    "enforce without mx": (GOOD.replace(b"mx: mx.clinic.example\n", b""), None),
    "testing without mx": (b"version: STSv1\nmode: testing\nmax_age: 1\n", None),
    "an empty mx": (GOOD.replace(b"mx.clinic.example", b""), None),
    "a pattern that begins with a dot": (GOOD.replace(b"mx.clinic.example", b".clinic.example"), None),
    "a wildcard alone": (GOOD.replace(b"mx.clinic.example", b"*"), None),
    "a wildcard without a domain": (GOOD.replace(b"mx.clinic.example", b"*."), None),
    "a wildcard within": (GOOD.replace(b"mx.clinic.example", b"mx.*.example"), None),
    "a wildcard for part of a label": (GOOD.replace(b"mx.clinic.example", b"mx*.clinic.example"), None),
    "two wildcards": (GOOD.replace(b"mx.clinic.example", b"*.*.example"), None),
    "an address": (GOOD.replace(b"mx.clinic.example", b"192.0.2.1"), None),
    "an address literal": (GOOD.replace(b"mx.clinic.example", b"[192.0.2.1]"), None),
    "several hosts in one line": (GOOD.replace(b"mx.clinic.example", b"a.example, b.example"), None),
    "one bad mx among good ones": (GOOD + b"mx: -\n", None),
    "bare CR": (GOOD.replace(b"\n", b"\r"), None),
    "NUL": (GOOD + b"x: a\0b\n", None),
    "not UTF-8": (GOOD + b"x: \xff\n", None),
    "a byte order mark": (b"\xef\xbb\xbf" + GOOD, None),
    "a line without a colon": (GOOD + b"hello\n", None),
    "a space before the colon": (GOOD.replace(b"mode:", b"mode :"), None),
    "a space before the key": (GOOD.replace(b"mode:", b" mode:"), None),
    "a web page": (b"<!DOCTYPE html>\n<html><body>version: STSv1</body></html>\n", None),
    "nothing": (b"", None),
}


@pytest.mark.parametrize("row", POLICIES)
def test_policies(row: str) -> None:
    octets, expected = POLICIES[row]
    if expected is None:
        with pytest.raises(SyntaxInvalid):
            parse_policy(CLINIC, "a1", octets)
    else:
        assert parse_policy(CLINIC, "a1", octets) == expected


@pytest.mark.parametrize(
    ("pattern", "host", "covered"),
    [
        ("mx.clinic.example", "mx.clinic.example", True),
        ("mx.clinic.example", "MX.CLINIC.EXAMPLE.", True),
        ("mx.clinic.example", "a.mx.clinic.example", False),
        ("*.clinic.example", "mx.clinic.example", True),
        ("*.clinic.example", "a.mx.clinic.example", False),
        ("*.clinic.example", "clinic.example", False),
        ("*.clinic.example", ".clinic.example", False),
        ("*.clinic.example", "mx.clinic.example.evil.example", False),
    ],
)
def test_which_hosts_a_pattern_covers(pattern: str, host: str, covered: bool) -> None:
    """RFC 8461 §4.1."""
    assert made(StsMode.ENFORCE, pattern).covers(host) is covered


@given(st.binary(max_size=300))
def test_no_octets_upset_the_parsers(octets: bytes) -> None:
    read_records([b"v=STSv1;" + octets])
    try:
        policy = parse_policy(CLINIC, "a1", octets)
    except SyntaxInvalid:
        return
    assert parse_policy(CLINIC, "a1", policy_file(policy)) == policy


def test_a_policy_of_ours_reads_as_what_it_says() -> None:
    policy = made(StsMode.TESTING, "a.example", "*.b.example")
    assert parse_policy(CLINIC, "a1", policy_file(policy)) == policy
    assert policy_file(policy).endswith(b"\r\n")


def test_the_id_changes_exactly_when_the_content_does() -> None:
    ids = [
        policy_id(StsMode.ENFORCE, ("a.example",), 86400),
        policy_id(StsMode.TESTING, ("a.example",), 86400),
        policy_id(StsMode.ENFORCE, ("a.example", "b.example"), 86400),
        policy_id(StsMode.ENFORCE, ("a.example",), 86401),
    ]
    assert len(set(ids)) == 4
    assert ids[0] == policy_id(StsMode.ENFORCE, ["a.example"], 86400)
    assert all(read_records([f"v=STSv1; id={one};".encode()]).id == one for one in ids)


def test_what_the_daily_report_calls_each_reason() -> None:
    """RFC 8460 §4.3.2.2. What says nothing about the domain's policy is no failure of it."""
    quiet = {StsReason.FOUND, StsReason.NO_RECORD, StsReason.DNS_FAILED, StsReason.NOT_AGAIN_YET}
    assert {reason for reason in StsReason if reason.result is None} == quiet
    web = {reason for reason in StsReason if reason.result is ResultType.STS_WEBPKI_INVALID}
    assert web == {StsReason.CERTIFICATE_NAME, StsReason.CERTIFICATE_EXPIRED, StsReason.CERTIFICATE_UNTRUSTED}
