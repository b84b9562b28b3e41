"""Reports by HTTPS, to servers that behave and to others."""

from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path

import pytest

from relayd.reporting.destinations import parse_uri
from relayd.reporting.post import HttpsPoster, Posted
from tests.kit.ca import Authority
from tests.kit.dns import FakeDns
from tests.kit.https import DRIBBLE, ENDLESS, HttpsServer, https_server, response

HOST = "reports.clinic.example"
LOOPBACK = (ip_network("127.0.0.0/8"),)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


async def post(server: HttpsServer, authority: Authority, networks: tuple[object, ...] = LOOPBACK) -> Posted:
    dns = FakeDns({(HOST, "A"): ["127.0.0.1"]})
    poster = HttpsPoster(dns, authority.certificate, networks, patience=2.0)  # type: ignore[arg-type]
    return await poster.post(parse_uri(f"https://{HOST}:{server.port}/v1?x=1"), b"packed", "application/tlsrpt+gzip")


async def test_what_a_server_gets(authority: Authority) -> None:
    async with https_server(authority.issue(HOST)) as server:
        server.answer = response(status="201 Created")
        assert await post(server, authority) == Posted()
        (request,) = server.requests
        assert server.names == [HOST]
    first, *fields = request.decode().lower().split("\r\n")
    assert first == "post /v1?x=1 http/1.1"
    assert f"host: {HOST}:{server.port}" in fields
    assert "content-type: application/tlsrpt+gzip" in fields
    assert "content-length: 6" in fields


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("200 OK", Posted()),
        ("204 No Content", Posted()),
        ("301 Moved", Posted("HTTP 301", final=True)),
        ("307 Temporary Redirect", Posted("HTTP 307", final=True)),
        ("404 Not Found", Posted("HTTP 404", final=True)),
        ("413 Too Large", Posted("HTTP 413", final=True)),
        ("429 Slow Down", Posted("HTTP 429", final=False)),
        ("500 Oops", Posted("HTTP 500", final=False)),
        ("503 Later", Posted("HTTP 503", final=False)),
    ],
)
async def test_answers(authority: Authority, status: str, expected: Posted) -> None:
    async with https_server(authority.issue(HOST)) as server:
        server.answer = response(status=status, location="https://elsewhere.example/")
        assert await post(server, authority) == expected
        assert len(server.requests) == 1  # no redirect is followed


async def test_of_an_endless_reply_only_the_beginning_is_read(authority: Authority) -> None:
    async with https_server(authority.issue(HOST)) as server:
        server.answer, server.more = response(content_length=""), ENDLESS
        assert await post(server, authority) == Posted()


@pytest.mark.parametrize(
    ("answer", "hang"), [(b"", True), (response(content_length=""), False)], ids=["silence", "an octet at a time"]
)
async def test_a_slow_server_has_its_time(authority: Authority, answer: bytes, hang: bool) -> None:
    async with https_server(authority.issue(HOST)) as server:
        server.answer, server.hang = answer, hang
        server.more = () if hang else DRIBBLE
        posted = await post(server, authority)
    assert posted in (Posted("no complete answer in time", final=False), Posted())


async def test_what_is_no_http(authority: Authority) -> None:
    async with https_server(authority.issue(HOST)) as server:
        server.answer = b"220 mx ESMTP\r\n"
        assert await post(server, authority) == Posted("the server broke off, or doesn't speak HTTP", final=False)


async def test_a_certificate_has_to_prove_the_name(authority: Authority, tmp_path: Path) -> None:
    async with https_server(authority.issue("other.example")) as server:
        wrong_name = await post(server, authority)
    async with https_server(Authority(tmp_path).issue(HOST)) as server:
        unknown_ca = await post(server, authority)
        assert server.requests == []
    for posted in (wrong_name, unknown_ca):
        assert posted.problem.startswith("the certificate isn't trusted")
        assert not posted.final


async def test_a_private_network_is_left_alone(authority: Authority) -> None:
    async with https_server(authority.issue(HOST)) as server:
        assert await post(server, authority, ()) == Posted("it leads into a private network", final=True)
        assert server.names == []


async def test_a_server_that_is_not_there_may_be_later(authority: Authority) -> None:
    dns = FakeDns({(HOST, "A"): ["127.0.0.1"]})
    poster = HttpsPoster(dns, authority.certificate, LOOPBACK)
    assert await poster.post(parse_uri(f"https://{HOST}:1/"), b"", "x/y") == Posted(
        "no connection could be made", final=False
    )
    gone = await HttpsPoster(FakeDns()).post(parse_uri(f"https://{HOST}/"), b"", "x/y")
    assert not gone.final
