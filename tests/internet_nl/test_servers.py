"""internet.nl's rules about mail servers: relayd's own relay has all points, and each check fails where it should."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from relayd.dns.hosts import HostFacts
from relayd.dns.records import Addresses, Answer, Records, Tlsa
from relayd.tls.contexts import shipped_openssl_conf
from relayd.tls.guideline import Level
from relayd.tls.profile import Row, Side
from scripts.lib.internet_nl.score import Category, Check, Status
from scripts.lib.internet_nl.servers import look_at_server, of_certificates, of_dane, of_profile
from tests.kit import signed_dns
from tests.kit.chains import Key, Made, make, with_sha1
from tests.kit.daemon import RelayProcess
from tests.kit.dns import FakeDns
from tests.kit.signed_dns import SignedDns, Signing, Zone
from tests.kit.site import Site
from tests.kit.threaded import threaded_server

MX = "mx.provider.example"
RSA = rsa.generate_private_key(65537, 3072)
ROOT = make("root", ca=True)
RSA_ROOT = make("rsa root", ca=True, key=RSA)
LEAF = make("leaf", ROOT, names=[MX])


def by_name(checks: Sequence[Check]) -> dict[str, Check]:
    return {check.name: check for check in checks}


def row(what: str, level: Level = Level.INSUFFICIENT, subject: str = "", *, taken: bool = True, group: str = "") -> Row:
    return Row(Side.REMOTE, subject, what, level, taken, "", group=group)


SUITE, OLD_SUITE, SIGNATURE = "TLS 1.3 suite", "TLS 1.2 suite", "TLS 1.2 signature"
CIPHERS, KEY_EXCHANGE, HASH = (
    "Ciphers (algorithm selections)",
    "Key exchange parameters",
    "Hash function for key exchange",
)
SOUND = (
    row("TLS 1.3", Level.GOOD, "version"),
    row("TLS 1.1", Level.INSUFFICIENT, "version", taken=False),
    row("TLS_AES_256_GCM_SHA384", Level.GOOD, SUITE, group="x25519"),
    row("RSA key exchange", Level.INSUFFICIENT, OLD_SUITE, taken=False),
    row("compression", taken=False),
    row("secure renegotiation", Level.SUFFICIENT),
    row("extended master secret", Level.SUFFICIENT),
    row("RSA with SHA256", Level.GOOD, SIGNATURE),
)


@pytest.mark.parametrize(
    ("changed", "name", "status"),
    [
        (row("TLS 1.3", Level.GOOD, "version"), "TLS version", Status.PASSED),
        (row("TLS 1.1", Level.INSUFFICIENT, "version"), "TLS version", Status.FAILED),
        (row("RSA key exchange", Level.INSUFFICIENT, OLD_SUITE), CIPHERS, Status.FAILED),
        (row("CBC", Level.PHASE_OUT, OLD_SUITE), CIPHERS, Status.NOTICE),
        (row("secp192r1", Level.INSUFFICIENT, group="secp192r1"), KEY_EXCHANGE, Status.FAILED),
        (row("secp224r1", Level.PHASE_OUT, group="secp224r1"), KEY_EXCHANGE, Status.NOTICE),
        (row("DHE", Level.PHASE_OUT, group="ffdhe4096"), KEY_EXCHANGE, Status.NOTICE),
        (row("DHE", Level.PHASE_OUT, group="dhe4096"), KEY_EXCHANGE, Status.FAILED),
        (row("ECDHE-RSA-AES256-GCM-SHA384", Level.SUFFICIENT, "order"), "Cipher order", Status.PASSED),
        (row("ECDHE-RSA-AES256-SHA384", Level.PHASE_OUT, "order"), "Cipher order", Status.FAILED),
        (row("compression"), "TLS compression", Status.FAILED),
        (row("secure renegotiation", taken=False), "Secure renegotiation", Status.FAILED),
        (row("extended master secret", taken=False), "Extended Master Secret", Status.FAILED),
        (row("RSA with SHA1", Level.INSUFFICIENT, SIGNATURE), HASH, Status.NOTICE),
    ],
)
def test_what_handshakes_tell_becomes_checks(changed: Row, name: str, status: Status) -> None:
    kept = [one for one in SOUND if one.what != changed.what]
    checks = by_name(list(of_profile([*kept, changed])))
    assert checks[name].status is status
    assert [check for check in checks.values() if check.status is not Status.PASSED and check.name != name] == []


def leaf_with(key: Key) -> tuple[Made, ...]:
    return make("leaf", ROOT, names=[MX], key=key), ROOT


KEY, SIGNED = "Public key of certificate", "Signature of certificate"
SHA1 = with_sha1(make("sha1", RSA_ROOT, names=[MX]), RSA_ROOT)


@pytest.mark.parametrize(
    ("chain", "name", "status"),
    [
        ((LEAF, ROOT), KEY, Status.PASSED),
        (leaf_with(rsa.generate_private_key(65537, 2048)), KEY, Status.NOTICE),
        (leaf_with(rsa.generate_private_key(65537, 1024)), KEY, Status.FAILED),  # noqa: S505
        ((SHA1, RSA_ROOT), SIGNED, Status.FAILED),
        ((make("other", ROOT, names=["other.example"]), ROOT), "Domain name on certificate", Status.INFO),
    ],
    ids=["sound", "2048 bits", "1024 bits", "SHA-1", "another name"],
)
def test_certificates_become_checks(chain: tuple[Made, ...], name: str, status: Status) -> None:
    checks = by_name(list(of_certificates([one.der for one in chain], MX)))
    assert checks[name].status is status
    assert [check for check in checks.values() if check.status is not Status.PASSED and check.name != name] == []


def facts(*records: Tlsa, answer: Answer = Answer.FOUND, secure: bool = True) -> HostFacts:
    return HostFacts(MX, 25, Addresses(Answer.FOUND, ("192.0.2.1",), secure), MX, Records(answer, records, secure))


NEXT = make("next", ROOT)


@pytest.mark.parametrize(
    ("told", "status", "reason"),
    [
        (facts(LEAF.tlsa(3, 1, 1)), Status.PASSED, "3 1 1"),
        (facts(ROOT.tlsa(2, 0, 1)), Status.PASSED, "2 0 1"),
        (facts(NEXT.tlsa(3, 1, 1), LEAF.tlsa(3, 1, 1)), Status.PASSED, "3 1 1"),
        (facts(NEXT.tlsa(3, 1, 1)), Status.FAILED, "matches no"),
        (facts(LEAF.tlsa(1, 1, 1)), Status.FAILED, "no usable"),
        (facts(answer=Answer.NO_NAME), Status.FAILED, "no TLSA"),
        (facts(answer=Answer.BOGUS, secure=False), Status.FAILED, "validated: bogus"),
        (facts(LEAF.tlsa(3, 1, 1), secure=False), Status.FAILED, "not signed"),
        (HostFacts(MX, 25, Addresses(Answer.FOUND)), Status.FAILED, "not signed"),
    ],
    ids=["key", "issuer", "next key too", "another key", "PKIX only", "none", "bogus", "not signed", "not asked"],
)
def test_tlsa_records_become_a_check(told: HostFacts, status: Status, reason: str) -> None:
    check = by_name(list(of_dane(told, [LEAF.der, ROOT.der], MX)))["DANE"]
    assert check.status is status
    assert reason in check.detail


@pytest.mark.parametrize(
    ("records", "status"),
    [
        ((LEAF.tlsa(3, 1, 1),), Status.INFO),
        ((LEAF.tlsa(3, 1, 1), NEXT.tlsa(3, 1, 1)), Status.PASSED),
        ((LEAF.tlsa(3, 1, 1), ROOT.tlsa(2, 1, 1)), Status.PASSED),
    ],
    ids=["one", "two keys", "key and issuer"],
)
def test_a_second_record_makes_a_change_of_keys_safe(records: tuple[Tlsa, ...], status: Status) -> None:
    checks = by_name(list(of_dane(facts(*records), [LEAF.der, ROOT.der], MX)))
    assert (checks["DANE rollover scheme"].status, checks["DANE rollover scheme"].most) == (status, 0)


@contextmanager
def mail_server(context: ssl.SSLContext | None) -> Iterator[int]:
    """A mail server that knows EHLO and STARTTLS; without a context it offers none. Its port."""
    with threaded_server(lambda connection: _talk(connection, context)) as port:
        yield port


def _talk(connection: socket.socket, context: ssl.SSLContext | None) -> None:
    connection.sendall(b"220 mx ESMTP\r\n")
    while line := connection.recv(512):
        if line.startswith(b"EHLO"):
            connection.sendall(b"250-mx\r\n250 STARTTLS\r\n" if context else b"250 mx\r\n")
        elif line.startswith(b"STARTTLS") and context is not None:
            connection.sendall(b"220 go\r\n")
            context.wrap_socket(connection, server_side=True).close()
            return
        else:
            connection.sendall(b"502 no\r\n")


async def server_checks(port: int) -> dict[str, Check]:
    dns = FakeDns({(MX, "A"): ["127.0.0.1"]}, ["provider.example"])
    return by_name(await look_at_server(dns, MX, port))


@pytest.mark.parametrize(
    ("suites", "failing"),
    [
        ("ECDHE+AESGCM:kRSA+AESGCM", {"Ciphers (algorithm selections)"}),
        ("ECDHE+AES+SHA384:ECDHE+AESGCM", {"Cipher order"}),
        ("ECDHE+AESGCM:ECDHE+AES+SHA384", set()),
    ],
)
async def test_a_servers_suites_and_their_order_are_seen(tmp_path: Path, suites: str, failing: set[str]) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*make("server", RSA_ROOT, names=[MX], key=RSA).write(tmp_path, RSA_ROOT))
    context.set_ciphers(f"{suites}:@SECLEVEL=0")
    context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with mail_server(context) as port:
        checks = await server_checks(port)
    assert {check.name for check in checks.values() if check.status is Status.FAILED} - {"DANE"} == failing


async def test_old_versions_are_seen(tmp_path: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*LEAF.write(tmp_path, ROOT))
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1 is deprecated"):
        context.minimum_version = ssl.TLSVersion.TLSv1
    with mail_server(context) as port:
        assert (await server_checks(port))["TLS version"].detail == "TLS 1.1, TLS 1.0"


async def test_a_server_without_starttls_has_no_points() -> None:
    with mail_server(None) as port:
        checks = await server_checks(port)
    assert checks["STARTTLS"].detail == "no TLS: no TLS: 502 to STARTTLS"
    assert {check.status for check in checks.values()} == {Status.FAILED}
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    assert "Connection refused" in (await server_checks(port))["STARTTLS"].detail


# relayd's own relay, behind real DNS


def internet_nl(domain: str, dns: SignedDns, port: int) -> tuple[int, float, dict[str, dict[str, Any]]]:
    """Exit status, score and checks by name."""
    command = ["scripts/internet-nl", domain, "--resolver", dns.resolver, "--port", str(port), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=110)
    assert done.returncode in (0, 1), done.stderr
    said = json.loads(done.stdout)
    assert said["not_run"] == ["Modern address (IPv6)", "Route authorisation (RPKI)"]
    return done.returncode, said["score"], {check["name"]: check for check in said["checks"]}


def zones(printed: str, *, signing: Signing = Signing.SIGNED, without: str = "") -> list[Zone]:
    """The hospital's zone and that of relayd's own name, with the printed records except those with ``without``."""
    lines = [line for line in printed.splitlines() if not without or without not in line]
    theirs = [line for line in lines if line.split()[0].endswith("noord.example.")]
    ours = [line for line in lines if line.split()[0].endswith("relayd.example.")]
    assert sorted([*theirs, *ours]) == sorted(lines)
    return [
        Zone("noord.example", "\n".join(theirs), signing),
        Zone("relayd.example", "\n".join(["mx A 127.0.0.1", *ours])),
    ]


@pytest.mark.behaviour
@pytest.mark.skipif(bool(signed_dns.available()), reason=signed_dns.available())
def test_relayd_with_the_records_that_it_prints_has_full_marks(tmp_path: Path) -> None:
    site = Site(tmp_path / "relayd")
    with RelayProcess(site) as relayd:
        relayd.cli("dkim", "create", "noord.example")
        printed = relayd.cli("records", "noord.example").stdout
        with SignedDns(tmp_path / "dns", zones(printed)) as dns:
            status, score, checks = internet_nl("noord.example", dns, site.relay_port)
            assert [check for check in checks.values() if check["points"] < check["most"]] == []
            assert (status, score) == (0, 1.0)
            assert {check["category"] for check in checks.values()} == {str(one) for one in Category}
            for spoilt, failing in (
                (zones(printed, without="TLSA"), {"DANE"}),
                (zones(printed, without="DKIM1", signing=Signing.UNSIGNED), {"mail domain", "DKIM"}),
                (zones(printed, signing=Signing.BROKEN), {"mail domain", "STARTTLS"}),
            ):
                dns.change(*spoilt)
                status, score, checks = internet_nl("noord.example", dns, site.relay_port)
                assert status == 1
                assert score < 1
                assert {name for name, check in checks.items() if check["status"] == "failed"} >= failing


@pytest.mark.behaviour
@pytest.mark.parametrize(
    ("change", "name", "status"),
    [
        ((":P-521", ":P-521:secp256k1"), "Key exchange parameters", Status.FAILED),
        (("TLS_AES_128_GCM_SHA256", "TLS_AES_128_CCM_8_SHA256"), "Ciphers (algorithm selections)", Status.FAILED),
        (("MinProtocol = TLSv1.2", "Options = -ExtendedMasterSecret"), "Extended Master Secret", Status.FAILED),
        (("RSA+SHA256:", "RSA+SHA256:RSA+SHA224:"), "Hash function for key exchange", Status.NOTICE),
    ],
)
async def test_a_relay_that_is_spoilt_is_seen(
    tmp_path: Path, change: tuple[str, str], name: str, status: Status
) -> None:
    site = Site(tmp_path / "relayd")
    site.server = site.authority.issue(MX, rsa_bits=3072)
    site.relayd["tls"] |= {"certificate": str(site.server.certificate), "key": str(site.server.key)}
    site.relayd["workers"], site.relayd["viewer"] = 1, {"enabled": False}
    site.policies = [one for one in site.policies if one["policy"] != "viewer"]
    spoilt = tmp_path / "openssl.cnf"
    spoilt.write_text(shipped_openssl_conf().read_text().replace(*change))
    with RelayProcess(site, environment={"OPENSSL_CONF": str(spoilt)}):
        checks = await server_checks(site.relay_port)
    assert checks[name].status is status
    assert {check.name for check in checks.values() if check.status is not Status.PASSED} == {
        name, "DANE"
    }  # fmt: skip
