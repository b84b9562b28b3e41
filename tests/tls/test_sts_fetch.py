"""Fetching MTA-STS policies from web servers, good and hostile (RFC 8461 §3.3)."""

from __future__ import annotations

import itertools
import ssl
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from relayd.dns.records import Answer
from relayd.mail.address import Domain
from relayd.tls.mta_sts import StsFetch, StsReason
from relayd.tls.sts_fetch import HttpsStsSource
from relayd.tls.sts_policy import StsMode
from tests.kit.ca import Authority, Certificate
from tests.kit.dns import FakeDns
from tests.kit.https import DRIBBLE, ENDLESS, https_server, response
from tests.kit.ports import free_port

CLINIC = Domain("clinic.example")
HOST = "mta-sts.clinic.example"
POLICY = b"version: STSv1\r\nmode: enforce\r\nmx: mx.clinic.example\r\nmax_age: 86400\r\n"
LOOPBACK = (ip_network("127.0.0.0/8"),)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def certificate(authority: Authority) -> Certificate:
    return authority.issue(HOST)


def source(authority: Authority, port: int, *, dns: FakeDns | None = None, **options: Any) -> HttpsStsSource:
    dns = dns or FakeDns({(HOST, "A"): ["127.0.0.1"]})
    options = {"private_networks": LOOPBACK, "patience": 10.0} | options
    return HttpsStsSource(dns, authority.certificate, port=port, **options)


async def fetched(authority: Authority, certificate: Certificate, server: dict[str, Any], **options: Any) -> StsFetch:
    async with https_server(certificate) as web:
        for name, value in server.items():
            setattr(web, name, value)
        return await source(authority, web.port, **options).fetch(CLINIC, "a1")


async def test_a_policy_is_fetched_by_name_from_the_address_that_our_resolver_gave(
    authority: Authority, certificate: Certificate
) -> None:
    async with https_server(certificate) as web:
        web.answer = response(POLICY, content_type="text/plain; charset=utf-8")
        found = await source(authority, web.port).fetch(CLINIC, "a1")
    assert found.reason is StsReason.FOUND
    assert found.policy is not None
    assert (found.policy.id, found.policy.mode, found.policy.mx) == ("a1", StsMode.ENFORCE, ("mx.clinic.example",))
    assert web.names == [HOST]
    request = web.requests[0].lower()
    assert request.startswith(b"get /.well-known/mta-sts.txt http/1.1\r\n")
    assert f"\r\nhost: {HOST}\r\n".encode() in request
    assert b"cookie" not in request


async def test_a_policy_in_chunks_and_one_without_a_length(authority: Authority, certificate: Certificate) -> None:
    chunks = b"%x\r\n%s\r\n0\r\n\r\n" % (len(POLICY), POLICY)
    for answer in (
        response(content_length="", transfer_encoding="chunked") + chunks,
        response(content_length="") + POLICY,
    ):
        found = await fetched(authority, certificate, {"answer": answer})
        assert found.reason is StsReason.FOUND


ANSWERS = {
    "301": ({"answer": response(status="301 Moved", location=f"https://{HOST}/other")}, StsReason.REDIRECT),
    "302 to another host": ({"answer": response(POLICY, "302 Found", location="https://evil.example/")},
                            StsReason.REDIRECT),
    "304": ({"answer": response(status="304 Not Modified")}, StsReason.REDIRECT),
    "404": ({"answer": response(b"no such page", "404 Not Found")}, StsReason.HTTP_STATUS),
    "500": ({"answer": response(POLICY, "500 Oops")}, StsReason.HTTP_STATUS),
    "203": ({"answer": response(POLICY, "203 Other")}, StsReason.HTTP_STATUS),
    "206": ({"answer": response(POLICY, "206 Partial Content")}, StsReason.HTTP_STATUS),
    "HTML": ({"answer": response(b"<html>", content_type="text/html")}, StsReason.MEDIA_TYPE),
    "a policy said to be HTML": ({"answer": response(POLICY, content_type="text/html")}, StsReason.MEDIA_TYPE),
    "no media type": ({"answer": response(POLICY, content_type="")}, StsReason.MEDIA_TYPE),
    "HTML said to be text": ({"answer": response(b"<html><body>hello</body></html>")}, StsReason.POLICY_INVALID),
    "compressed unasked": ({"answer": response(b"\x1f\x8b\x08\0garbage", content_encoding="gzip")},
                           StsReason.POLICY_INVALID),
    "too large by one": ({"answer": response(POLICY + b"x:y\n" * ((65537 - len(POLICY)) // 4 + 1))},
                         StsReason.TOO_LARGE),
    "endless": ({"answer": response(content_length=""), "more": ENDLESS}, StsReason.TOO_LARGE),
    "a huge length that is a lie": ({"answer": response(POLICY, content_length="99999999999")}, StsReason.NOT_HTTP),
    "broken off": ({"answer": response(POLICY, content_length=str(len(POLICY) + 10))}, StsReason.NOT_HTTP),
    "not HTTP": ({"answer": b"220 mx.clinic.example ESMTP\r\n"}, StsReason.NOT_HTTP),
    "nothing": ({"answer": b""}, StsReason.NOT_HTTP),
    "an endless header": ({"answer": b"HTTP/1.1 200 OK\r\nx: ", "more": ENDLESS}, StsReason.NOT_HTTP),
    "an endless row of preliminary answers": (
        {"answer": b"", "more": itertools.repeat(b"HTTP/1.1 100 Continue\r\n\r\n")}, StsReason.TIMEOUT),
    "silence after connecting": ({"answer": b"", "hang": True}, StsReason.TIMEOUT),
    "silence in the body": ({"answer": response(POLICY, content_length="9999"), "hang": True}, StsReason.TIMEOUT),
    "octet by octet without an end": ({"answer": b"HTTP/1.1 200 OK\r\n", "more": DRIBBLE}, StsReason.NOT_HTTP),
    "invalid policy": ({"answer": response(POLICY.replace(b"enforce", b"maybe"))}, StsReason.POLICY_INVALID),
}  # fmt: skip


@pytest.mark.parametrize("row", ANSWERS)
async def test_answers_that_are_no_policy(row: str, authority: Authority, certificate: Certificate) -> None:
    server, expected = ANSWERS[row]
    patience = 0.5 if expected is StsReason.TIMEOUT else 30.0
    found = await fetched(authority, certificate, server, patience=patience)
    assert (found.reason, found.policy) == (expected, None)


async def test_a_body_that_drips_is_cut_off_in_time(authority: Authority, certificate: Certificate) -> None:
    """Each octet comes well within any timeout between two of them."""
    server = {"answer": response(content_length=""), "more": DRIBBLE}
    found = await fetched(authority, certificate, server, patience=0.3)
    assert found.reason in (StsReason.TIMEOUT, StsReason.TOO_LARGE)


async def test_a_policy_of_exactly_64_KiB_is_read(authority: Authority, certificate: Certificate) -> None:
    filler = b"x: " + b"y" * (65536 - len(POLICY) - 4) + b"\n"
    found = await fetched(authority, certificate, {"answer": response(POLICY + filler)})
    assert found.reason is StsReason.FOUND


async def test_certificates_that_prove_nothing(authority: Authority, tmp_path: Path) -> None:
    stranger = Authority(tmp_path / "stranger")
    rows = [
        (authority.issue("www.clinic.example", file="wrong"), StsReason.CERTIFICATE_NAME),
        (authority.issue("clinic.example", file="parent"), StsReason.CERTIFICATE_NAME),
        (authority.issue("*.mta-sts.clinic.example", file="below"), StsReason.CERTIFICATE_NAME),
        (authority.issue("127.0.0.1", file="address"), StsReason.CERTIFICATE_NAME),
        (authority.issue(HOST, file="expired", days=10, started_days_ago=20), StsReason.CERTIFICATE_EXPIRED),
        (authority.issue(HOST, file="early", started_days_ago=-2), StsReason.CERTIFICATE_EXPIRED),
        (stranger.issue(HOST), StsReason.CERTIFICATE_UNTRUSTED),
    ]
    for certificate, expected in rows:
        found = await fetched(authority, certificate, {"answer": response(POLICY)})
        assert (found.reason, found.policy) == (expected, None), certificate.certificate


async def test_a_wildcard_certificate_proves_the_policy_host(authority: Authority) -> None:
    wildcard = authority.issue("*.clinic.example", file="wildcard")
    found = await fetched(authority, wildcard, {"answer": response(POLICY)})
    assert found.reason is StsReason.FOUND


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
async def test_a_server_that_knows_only_old_TLS(authority: Authority, certificate: Certificate) -> None:
    async with https_server(certificate, newest=ssl.TLSVersion.TLSv1_1) as web:
        web.answer = response(POLICY)
        found = await source(authority, web.port).fetch(CLINIC, "a1")
    assert found.reason is StsReason.TLS_FAILED


async def test_nobody_listens(authority: Authority) -> None:
    found = await source(authority, free_port()).fetch(CLINIC, "a1")
    assert found.reason is StsReason.UNREACHABLE


async def test_another_address_is_tried_where_one_does_not_answer(
    authority: Authority, certificate: Certificate
) -> None:
    dns = FakeDns({(HOST, "A"): ["127.0.0.9", "127.0.0.1"]})
    found = await fetched(authority, certificate, {"answer": response(POLICY)}, dns=dns)
    assert found.reason is StsReason.FOUND


PRIVATE = ["127.0.0.1", "10.1.2.3", "192.168.0.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1"]
PRIVATE_6 = ["::1", "fe80::1", "fc00::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::", "ff02::1"]


@pytest.mark.parametrize("address", [*PRIVATE, *PRIVATE_6])
async def test_a_name_that_leads_into_our_own_network_is_not_asked(
    address: str, authority: Authority, certificate: Certificate
) -> None:
    async with https_server(certificate) as web:
        web.answer = response(POLICY)
        dns = FakeDns({(HOST, "AAAA" if ":" in address else "A"): [address]})
        found = await source(authority, web.port, dns=dns, private_networks=()).fetch(CLINIC, "a1")
    assert found.reason is StsReason.ADDRESS_NOT_PUBLIC
    assert web.names == []


@pytest.mark.parametrize(
    ("zone", "expected"),
    [({}, StsReason.NO_ADDRESS), ({(HOST, "A"): Answer.TIMEOUT, (HOST, "AAAA"): Answer.BOGUS}, StsReason.NO_ADDRESS)],
)
async def test_a_name_without_an_address(zone: dict[Any, Any], expected: StsReason, authority: Authority) -> None:
    found = await source(authority, 443, dns=FakeDns(zone)).fetch(CLINIC, "a1")
    assert found.reason is expected


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (["v=STSv1; id=a1;"], StsReason.FOUND),
        (Answer.BOGUS, StsReason.DNS_FAILED),
        (Answer.TIMEOUT, StsReason.DNS_FAILED),
        (Answer.FAILED, StsReason.DNS_FAILED),
        (Answer.NO_DATA, StsReason.NO_RECORD),
        (["v=STSv1;"], StsReason.RECORD_INVALID),
    ],
)
async def test_the_record(answer: Any, expected: StsReason, authority: Authority) -> None:
    dns = FakeDns({("_mta-sts.clinic.example", "TXT"): answer})
    assert (await source(authority, 443, dns=dns).record(CLINIC)).reason is expected


async def test_an_address_literal_has_no_policy(authority: Authority) -> None:
    dns = FakeDns()
    assert (await source(authority, 443, dns=dns).record(Domain("[192.0.2.1]"))).reason is StsReason.NO_RECORD
    assert dns.asked == []
