"""Our TLS: only what the guideline allows, proven peers, and certificates that change while we run."""

from __future__ import annotations

import os
import ssl
import subprocess
import sys
from pathlib import Path

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st

from relayd.directory.directory import Delivers, DomainEntry, NtaEntry
from relayd.errors import ConfigurationError
from relayd.mail.address import Domain
from relayd.mail.envelope import TlsFacts
from relayd.settings.models import TlsSettings
from relayd.tls.certificate import name_matches
from relayd.tls.contexts import ClientTls, ServerTls, server_context, shipped_openssl_conf, use_shipped_openssl_conf
from relayd.tls.decision import demand_for_domain, demand_for_notice, demand_for_nta
from relayd.tls.demand import Security, TlsDemand
from relayd.tls.identity import facts_of, proves

GOOD = {
    "TLS_AES_256_GCM_SHA384",
    "TLS_CHACHA20_POLY1305_SHA256",
    "TLS_AES_128_GCM_SHA256",
    *(f"ECDHE-{kind}-{suite}" for kind in ("ECDSA", "RSA") for suite in ("AES256-GCM-SHA384", "AES128-GCM-SHA256")),
    *(f"ECDHE-{kind}-CHACHA20-POLY1305" for kind in ("ECDSA", "RSA")),
}


def issue(folder: Path, ca: trustme.CA, name: str = "relay.example") -> TlsSettings:
    certificate = ca.issue_cert(name)
    (folder / "key.pem").unlink(missing_ok=True)
    certificate.private_key_pem.write_to_path(str(folder / "key.pem"))
    (folder / "key.pem").chmod(0o600)
    (folder / "certificate.pem").write_bytes(b"".join(blob.bytes() for blob in certificate.cert_chain_pems))
    return TlsSettings(certificate=folder / "certificate.pem", key=folder / "key.pem")


def handshake(server: ssl.SSLContext, client: ssl.SSLContext, name: str | None = "relay.example") -> ssl.SSLObject:
    """Both ends in memory; returns the client's."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(to_client, to_server, server_hostname=name),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    waiting = list(ends)
    for _ in range(10):
        for end in list(waiting):
            try:
                end.do_handshake()
                waiting.remove(end)
            except ssl.SSLWantReadError:
                pass
    assert not waiting
    return ends[0]


def test_only_good_suites_and_versions(tmp_path: Path) -> None:
    context = server_context(issue(tmp_path, trustme.CA()))
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert {cipher["name"] for cipher in context.get_ciphers()} <= GOOD | {"TLS_AES_128_CCM_SHA256"}
    assert context.options & ssl.OP_NO_RENEGOTIATION
    assert context.options & ssl.OP_NO_COMPRESSION


def test_old_versions_are_refused(tmp_path: Path) -> None:
    server = server_context(issue(tmp_path, trustme.CA()))
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_mode = ssl.CERT_NONE
    client.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1 is deprecated"):
        client.minimum_version = ssl.TLSVersion.TLSv1
    with pytest.warns(DeprecationWarning, match="TLSv1_1 is deprecated"):
        client.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(ssl.SSLError):
        handshake(server, client)


def test_a_changed_certificate_is_taken_up_and_a_broken_one_is_not(tmp_path: Path) -> None:
    ca = trustme.CA()
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    tls = ServerTls(issue(tmp_path, ca, "first.example"))
    demand = TlsDemand(Security.VERIFIED, ("second.example",), ca_file=str(tmp_path / "ca.pem"))
    client = ClientTls().context(demand)
    assert facts_of(handshake(tls.context(), client)).names == ("first.example",)
    issue(tmp_path, ca, "second.example")
    facts = facts_of(handshake(tls.context(), client))
    assert facts.names == ("second.example",)
    assert proves(facts, demand)
    (tmp_path / "certificate.pem").write_text("broken")
    assert facts_of(handshake(tls.context(), client)).names == ("second.example",)


@pytest.mark.parametrize("mode", [0o400, 0o440, 0o600, 0o640])
def test_a_key_may_be_a_credential_of_systemd(tmp_path: Path, mode: int) -> None:
    # Since systemd 254 a credential has an ACL for the service's user, which stat(2) shows as a readable group.
    settings = issue(tmp_path, trustme.CA())
    settings.key.chmod(mode)
    server_context(settings)


@pytest.mark.parametrize("what", ["mode", "missing key", "missing certificate", "other key", "client ca"])
def test_unfit_files_are_named(tmp_path: Path, what: str) -> None:
    settings = issue(tmp_path, trustme.CA())
    match what:
        case "mode":
            settings.key.chmod(0o644)
        case "missing key":
            settings.key.unlink()
        case "missing certificate":
            settings.certificate.unlink()
        case "other key":
            trustme.CA().issue_cert("x.example").private_key_pem.write_to_path(str(settings.key))
        case "client ca":
            settings = settings.model_copy(update={"client_ca": tmp_path / "absent.pem"})
    with pytest.raises(ConfigurationError) as error:
        server_context(settings)
    assert str(tmp_path) in str(error.value)
    assert "tls." in str(error.value)


def test_client_certificates_are_welcome_and_not_demanded(tmp_path: Path) -> None:
    ca, clients = trustme.CA(), trustme.CA()
    clients.cert_pem.write_to_path(str(tmp_path / "clients.pem"))
    settings = issue(tmp_path, ca).model_copy(update={"client_ca": tmp_path / "clients.pem"})
    server = server_context(settings)
    plain = ClientTls().context(TlsDemand(Security.OFFERED))
    handshake(server, plain)
    own = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    own.check_hostname = False
    own.verify_mode = ssl.CERT_NONE
    clients.issue_cert("hospital.example").configure_cert(own)
    handshake(server, own)


def test_the_shipped_openssl_configuration_loads_and_limits(tmp_path: Path) -> None:
    program = (
        "import ssl; c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER);"
        "print([x['name'] for x in c.get_ciphers() if x['protocol'] == 'TLSv1.3'])"
    )
    environment = use_shipped_openssl_conf({"PATH": os.environ["PATH"]})
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert "CCM" not in done.stdout
    assert "TLS_AES_256_GCM_SHA384" in done.stdout
    assert shipped_openssl_conf().read_text().count("Groups = ") == 1
    assert use_shipped_openssl_conf({"OPENSSL_CONF": "mine"}) == {"OPENSSL_CONF": "mine"}


@pytest.mark.parametrize(
    ("pattern", "name", "expected"),
    [
        ("mx.example.org", "mx.example.org", True),
        ("MX.Example.ORG", "mx.example.org.", True),
        ("*.example.org", "mx.example.org", True),
        ("*.example.org", "a.mx.example.org", False),
        ("*.example.org", "example.org", False),
        ("*.org", "example.org", False),
        ("m*.example.org", "mx.example.org", False),
        ("*", "localhost", False),
        ("192.0.2.1", "192.0.2.1", True),
        ("*.0.2.1", "192.0.2.1", False),
        ("2001:db8:0::1", "2001:db8::1", True),
        ("mx.example.org", "192.0.2.1", False),
    ],
)
def test_names(pattern: str, name: str, expected: bool) -> None:
    assert name_matches(pattern, name) is expected


names = st.lists(st.sampled_from(["a.example", "b.example", "*.example", "1.2.3.4"]), max_size=3).map(tuple)


@given(have=names, asked=names, pins=st.sampled_from([(), ("aa",), ("bb",)]), key=st.sampled_from([None, "aa"]))
def test_unverified_chains_prove_nothing_but_a_pin(
    have: tuple[str, ...], asked: tuple[str, ...], pins: tuple[str, ...], key: str | None
) -> None:
    facts = TlsFacts("TLSv1.3", "x", key, have, verified=False)
    proven = proves(facts, TlsDemand(Security.VERIFIED, asked, pins))
    assert proven is (key is not None and key in pins)


def test_what_each_class_demands() -> None:
    book = DomainEntry(Domain("p.example"), Delivers.RELAY)
    assert demand_for_domain(book, "mx.p.example") == TlsDemand(Security.VERIFIED, ("mx.p.example",))
    named = DomainEntry(Domain("p.example"), Delivers.RELAY, tls_names=("n",), pins=("aa",), ca_file="f")
    assert demand_for_domain(named, "mx") == TlsDemand(Security.VERIFIED, ("n",), ("aa",), "f")
    plain = DomainEntry(Domain("p.example"), Delivers.RELAY, insecure_plaintext=True)
    assert demand_for_domain(plain, "mx").security is Security.OFFERED
    nta = NtaEntry(Domain("p.example"), allow=True, reason="x", hosts=("mx",))
    assert demand_for_nta(nta, "mx") == TlsDemand(Security.VERIFIED, ("mx",))
    assert demand_for_notice(allow_plaintext=False).security is Security.ENCRYPTED
    assert demand_for_notice(allow_plaintext=True).security is Security.OFFERED
