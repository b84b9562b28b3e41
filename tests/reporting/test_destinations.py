"""What the rua of a record means, usable or not."""

from __future__ import annotations

import pytest

from relayd.errors import SyntaxInvalid
from relayd.reporting.destinations import MOST, parse_uri, parse_uris, tls_destinations


@pytest.mark.parametrize(
    ("text", "expected", "limit"),
    [
        ("mailto:r@example.org", "mailto:r@example.org", None),
        ("MAILTO:r@EXAMPLE.org", "mailto:r@example.org", None),
        ("mailto:r%2Bx@example.org?subject=x", "mailto:r+x@example.org", None),
        ("mailto:a%3Fb@example.org", "mailto:a%3Fb@example.org", None),
        ("mailto:%22a%20b%22@example.org", "mailto:%22a%20b%22@example.org", None),
        ("mailto:r@example.org!10m", "mailto:r@example.org", 10 * 2**20),
        ("mailto:r@example.org!500", "mailto:r@example.org", 500),
        ("mailto:r%21@example.org!1K", "mailto:r%21@example.org", 1024),
        ("https://reports.example.org/v1?x=1", "https://reports.example.org/v1?x=1", None),
        ("HTTPS://reports.example.org:8443/", "HTTPS://reports.example.org:8443/", None),
    ],
)
def test_uris_that_are_served(text: str, expected: str, limit: int | None) -> None:
    found = parse_uri(text)
    assert (str(found), found.limit) == (expected, limit)
    assert parse_uri(str(found)).target == found.target


@pytest.mark.parametrize(
    "text",
    [
        "",
        "r@example.org",
        "http://reports.example.org/",
        "ftp://reports.example.org/",
        "file:///etc/passwd",
        "mailto:",
        "mailto:r@",
        "mailto:r@[127.0.0.1]",
        "mailto:a@example.org\r\nBcc: b@example.org",
        "mailto:a%0d%0aBcc:b@example.org",
        "mailto:%ff@example.org",
        "mailto:r@example.org!",
        "mailto:r@example.org!10x",
        "mailto:r@example.org!10m!10m",
        "mailto:r@example.org!99999999999999999999m",
        "https://",
        "https://127.0.0.1/",
        "https://[::1]/",
        "https://localhost/",
        "https://user:pass@reports.example.org/",
        "https://reports.example.org/#x",
        "https://reports.example.org:99999/",
        "https://[bad/",
        "https://exa mple.org/",
        "https://" + "a" * 2000 + ".example/",
        "https://réports.example/",
    ],
)
def test_uris_that_are_not(text: str) -> None:
    with pytest.raises(SyntaxInvalid):
        parse_uri(text)


def test_a_list_keeps_what_is_usable_each_once_and_not_too_much() -> None:
    text = "mailto:a@example.org , http://x.example/,mailto:a@example.org,https://b.example/"
    assert [str(one) for one in parse_uris(text)] == ["mailto:a@example.org", "https://b.example/"]
    assert len(parse_uris(",".join(f"mailto:r{number}@example.org" for number in range(100)))) == MOST


MAIL = "mailto:r@example.org"


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        ([b"v=TLSRPTv1; rua=mailto:r@example.org"], [MAIL]),
        ([b"v=TLSRPTv1;rua=mailto:r@example.org;"], [MAIL]),
        ([b"v=TLSRPTv1 ; rua=mailto:r@example.org , https://b.example/x"], [MAIL, "https://b.example/x"]),
        ([b"v=TLSRPTv1; ext=1; rua=mailto:r@example.org; other.ext-2=a b"], [MAIL]),
        ([b"v=TLSRPTv1; rua=mailto:r@example.org; rua=https://b.example/x"], [MAIL, "https://b.example/x"]),
        ([b"v=TLSRPTv1; rua=gopher://x,mailto:r@example.org"], [MAIL]),
        ([b"v=spf1 -all", b"v=TLSRPTv1; rua=mailto:r@example.org", b"v=TLSRPTv2; rua=mailto:x@y.example"], [MAIL]),
        ([], []),
        ([b"v=spf1 -all", b"v=tlsrptv1; rua=mailto:r@example.org", b" v=TLSRPTv1; rua=mailto:a@b.example"], []),
    ],
)
def test_tls_records(records: list[bytes], expected: list[str]) -> None:
    assert [str(one) for one in tls_destinations(records)] == expected


@pytest.mark.parametrize(
    "records",
    [
        [b"v=TLSRPTv1; rua=mailto:a@b.example", b"v=TLSRPTv1; rua=mailto:a@b.example"],
        [b"v=TLSRPTv1"],
        [b"v=TLSRPTv1;"],
        [b"v=TLSRPTv1; rua="],
        [b"v=TLSRPTv1; rua=http://x.example/"],
        [b"v=TLSRPTv1; rua"],
        [b"v=TLSRPTv1; =x; rua=mailto:a@b.example"],
        [b"v=TLSRPTv1;; rua=mailto:a@b.example"],
        [b"v=TLSRPTv1; RUA=mailto:a@b.example"],
        [b"v=TLSRPTv1; rua=mailto:a@b.example; \0=x"],
        [b"v=TLSRPTv1; rua=mailto:\xff@b.example"],
        [b"v=TLSRPTv1; rua=" + b"x" * 500_000],
        [b"v=TLSRPTv1" + b" " * 500_000],
        [b"v=TLSRPTv1; rua=" + b"mailto:a@b.example," * 30_000],
        [b"v=TLSRPTv1" + b"; a=b" * 100_000 + b"; rua=mailto:a@b.example"],
    ],
)
def test_tls_records_that_cannot_be_followed(records: list[bytes]) -> None:
    with pytest.raises(SyntaxInvalid):
        tls_destinations(records)
