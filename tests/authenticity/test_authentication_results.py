"""Authentication-Results: authres reads what we write, and what claims to be ours is found however it hides."""

from __future__ import annotations

import authres
import pytest

from relayd.authenticity.authentication_results import authenticated_field, claimed_id, field, forged, summary, vouched
from relayd.authenticity.results import Arc, Authentication, Disposition, Dkim, Dmarc, Result, Spf
from relayd.mail.headers import Headers

HOST = "mx.clinic.example"
ALL = Authentication(
    Spf(Result.PASS, "list.example", reason="ip4:192.0.2.0/24"),
    (
        Dkim(Result.PASS, "partner.example", "s1", "rsa-sha256", "1024-bit key"),
        Dkim(Result.FAIL, "other.example", "s2._x", "ed25519-sha256", "the body was changed"),
    ),
    Dmarc(
        Result.PASS,
        "partner.example",
        "partner.example",
        Disposition.REJECT,
        dkim_aligned=True,
        published=(("v", "DMARC1"), ("p", "reject")),
    ),
    Arc(Result.FAIL, 2, "a set is missing"),
)


def read(written: bytes) -> authres.AuthenticationResultsHeader:
    headers = Headers(written)
    assert [one.name for one in headers.fields] == ["authentication-results"]
    assert headers.defects == ()
    return authres.AuthenticationResultsHeader.parse(f"Authentication-Results: {headers.fields[0].value.decode()}")


def test_everything_is_said_and_read_back() -> None:
    found = read(field(HOST, ALL))
    assert found.authserv_id == HOST
    assert [(one.method, one.result) for one in found.results] == [
        ("spf", "pass"),
        ("dkim", "pass"),
        ("dkim", "fail"),
        ("dmarc", "pass"),
        ("arc", "fail"),
    ]
    properties = [(one.type, one.name, one.value) for result in found.results for one in result.properties]
    assert properties == [
        ("smtp", "mailfrom", "list.example"),
        ("header", "d", "partner.example"),
        ("header", "s", "s1"),
        ("header", "a", "rsa-sha256"),
        ("header", "d", "other.example"),
        ("header", "s", "s2._x"),
        ("header", "a", "ed25519-sha256"),
        ("header", "from", "partner.example"),
    ]
    assert found.results[0].reason == "ip4:192.0.2.0/24"


def test_a_message_about_which_nothing_is_known() -> None:
    found = read(field(HOST, Authentication(Spf(Result.NONE, "mta.example", helo=True))))
    assert [(one.method, one.result) for one in found.results] == [("spf", "none"), ("dkim", "none"), ("dmarc", "none")]
    assert found.results[0].properties[0].name == "helo"


def test_a_login() -> None:
    result = read(authenticated_field(HOST, "jan@clinic.example")).results[0]
    assert (result.method, result.result) == ("auth", "pass")
    assert b"smtp.mailfrom=jan@clinic.example\r\n" in authenticated_field(HOST, "jan@clinic.example")
    assert b'smtp.mailfrom="\\"a b\\"@clinic.example"' in authenticated_field(HOST, '"a b"@clinic.example')
    assert authenticated_field(HOST, "") == b"Authentication-Results: mx.clinic.example;\r\n\tauth=pass\r\n"


HOSTILE = [
    "x\r\nX-Injected: yes",
    "x; dmarc=pass",
    'x"; dmarc=pass',
    "x\\",
    "(x",
    "x y",
    "x\0y",
    "é.example",
    "\u202edlog.example",
    "x" * 5000,
    "=?utf-8?q?x?=",
    "",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_comes_in_by_way_of_what_a_stranger_says(text: str) -> None:
    said = Authentication(
        Spf(Result.FAIL, text, helo=True, reason=text),
        (Dkim(Result.NEUTRAL, text, text, text, text),),
        Dmarc(Result.FAIL, text, text, published=(("p", text),), reason=text),
        Arc(Result.FAIL, 1, text),
    )
    written = field(HOST, said)
    assert all(len(line) <= 998 for line in written.split(b"\r\n"))
    found = read(written)
    assert found.authserv_id == HOST
    assert [(one.method, one.result) for one in found.results] == [
        ("spf", "fail"),
        ("dkim", "neutral"),
        ("dmarc", "fail"),
        ("arc", "fail"),
    ]


OURS = [
    "mx.clinic.example; spf=pass",
    "MX.Clinic.EXAMPLE; spf=pass",
    "mx.clinic.example. ; spf=pass",
    "mx.clinic.example 1; spf=pass",
    "mx.clinic.example/1; spf=pass",
    "mx.clinic.example; none",
    "mx.clinic.example",
    '"mx.clinic.example"; spf=pass',
    '"mx.\\clinic.example" 1; spf=pass',
    '" mx.clinic.example "; spf=pass',
    "(comment) mx.clinic.example; spf=pass",
    "(nested (one) \\) ) mx.clinic.example (another) 1 (last); spf=pass",
    "\r\n mx.clinic.example;\r\n spf=pass",
    "\t(a)\r\n\t(b) mx.clinic.example; spf=pass",
    # What can't be read, somebody else may read as ours.
    "",
    "; spf=pass",
    "(open mx.clinic.example; spf=pass",
    '"mx.clinic.example; spf=pass',
    "\0mx.clinic.example; spf=pass",
    "\udcffmx.clinic.example; spf=pass",
]
OTHERS = [
    "mx.other.example; spf=pass",
    "mx.clinic.example.other; spf=pass",
    "notmx.clinic.example; spf=pass",
    '"mx.other.example"; x="mx.clinic.example"',
    "(mx.clinic.example) mx.other.example; spf=pass",
    "ümx.example; spf=pass",
]


@pytest.mark.parametrize("value", OURS)
@pytest.mark.parametrize("name", ["Authentication-Results", "authentication-RESULTS ", "AUTHENTICATION-RESULTS"])
def test_what_claims_to_be_ours_is_found(name: str, value: str) -> None:
    head = f"From: x@y.example\r\n{name}: {value}\r\nTo: z@y.example\r\n"
    headers = Headers(head.encode("utf-8", "surrogateescape"))
    assert forged(headers, HOST) == (1,)


@pytest.mark.parametrize("value", OTHERS)
def test_what_others_say_stays(value: str) -> None:
    assert forged(Headers(f"Authentication-Results: {value}\r\n".encode()), HOST) == ()


def test_all_of_many_are_found() -> None:
    head = b"Authentication-Results: mx.clinic.example; a=b\r\nAuthentication-Results: other.example; a=b\r\n" * 500
    assert len(forged(Headers(head), HOST)) == 500


def test_a_name_in_two_scripts_is_one_name() -> None:
    assert claimed_id("bücher.example; spf=pass".encode()) == claimed_id(b"xn--bcher-kva.example; spf=pass")


def test_brackets_without_end_take_no_longer_than_their_length() -> None:
    assert claimed_id(b"(" * 100_000 + b"mx.clinic.example") is None
    assert claimed_id(b"()" * 50_000 + b"mx.clinic.example") == HOST


def test_the_summary_tells_nothing_of_the_content() -> None:
    assert summary(ALL) == "spf=pass dkim=pass,fail dmarc=pass arc=fail"
    assert summary(Authentication(Spf(Result.NONE, "x"))) == "spf=none dkim=none dmarc=none"


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (b"relay.example; spf=pass smtp.mailfrom=a@f.example; dkim=pass header.d=s.example header.s=x", ["s.example"]),
        (b"relay.example;\r\n\tdmarc=pass (p=reject)\r\n\t\theader.from=Author.example", ["author.example"]),
        (b"relay.example; dkim=fail header.d=a.example; dkim=pass header.d=b.example; dmarc=fail header.from=c.example",
         ["b.example"]),
        (b"other.example; dkim=pass header.d=a.example", []),
        (b'relay.example; spf=pass smtp.helo="x; dkim=pass header.d=evil.example"; dkim=none; dmarc=none', []),
        (b'relay.example; dkim=fail reason="\\"; dkim=pass header.d=evil.example" header.d=a.example', []),
        (b"relay.example; dkim=passed header.d=a.example", []),
        (b"relay.example; auth=pass smtp.auth=a@b.example", []),
    ],
)  # fmt: skip
def test_whom_our_own_field_vouches_for(lines: bytes, expected: list[str]) -> None:
    headers = Headers(b"Authentication-Results: " + lines + b"\r\nFrom: a@b.example\r\n")
    assert sorted(vouched(headers, "relay.example")) == expected
