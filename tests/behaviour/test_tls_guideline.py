"""The running daemon's ports under sslyze and openssl, by the guideline of NCSC-NL; and by ``relayd tls-profile``."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator

import pytest

from relayd.tls.guideline import Level
from tests.kit import sslyze
from tests.kit.daemon import RelayProcess
from tests.kit.site import Site

pytestmark = pytest.mark.behaviour

#: What a scan has to see at least, or it has seen nothing.
SEEN = {
    *("TLSv1.2", "TLSv1.3", "extended master secret", "secure renegotiation", "no compression"),
    *("TLSv1.3 TLS_AES_256_GCM_SHA384", "group X25519", "no renegotiation by clients"),
}
PORTS = ("relay", "submission", "submissions", "web")
STARTTLS = ("relay", "submission")


@pytest.fixture(scope="module", params=["ECDSA", "RSA"])
def relayd(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RelayProcess]:
    """With a certificate of each kind, which the Viewer shows too."""
    site = Site(tmp_path_factory.mktemp("relayd"))
    if request.param == "RSA":
        site.server = site.authority.issue("mx.relayd.example", "127.0.0.1", rsa_bits=3072)
    shown = {"certificate": str(site.server.certificate), "key": str(site.server.key)}
    site.relayd["tls"] |= shown
    site.relayd["viewer"] |= {**shown, "url": f"https://127.0.0.1:{site.web_port}"}
    with RelayProcess(site) as relayd:
        yield relayd


def port_of(relayd: RelayProcess, name: str) -> int:
    return int(getattr(relayd.site, f"{name}_port"))


@pytest.mark.parametrize("name", PORTS)
def test_every_counting_item_passes_under_sslyze(relayd: RelayProcess, name: str) -> None:
    found = list(sslyze.judge(sslyze.scan(port_of(relayd, name), starttls=name in STARTTLS)))
    assert {one.what for one in found} >= SEEN
    assert [one for one in found if not one.level.passes] == []
    # Nothing that is to be phased out either, so the order of the suites doesn't count.
    assert [one for one in found if one.level is Level.PHASE_OUT] == []


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is missing")
@pytest.mark.parametrize("name", PORTS)
@pytest.mark.parametrize(("digest", "taken"), [("SHA256", True), ("SHA512", True), ("SHA224", False), ("SHA1", False)])
def test_the_key_exchange_is_signed_over_sha_2_only(
    relayd: RelayProcess, name: str, digest: str, *, taken: bool
) -> None:
    options = ["-tls1_2", "-cipher", "ALL:@SECLEVEL=0", "-sigalgs", f"ECDSA+{digest}:RSA+{digest}"]
    said = openssl(relayd, name, *options)
    assert (f"Peer signing digest: {digest}" in said) is taken
    assert ("Cipher is (NONE)" in said) is not taken


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is missing")
@pytest.mark.parametrize("name", PORTS)
def test_no_ticket_allows_early_data(relayd: RelayProcess, name: str) -> None:
    # The ticket comes behind the handshake, so wait for a reply.
    farewell = "GET / HTTP/1.0\r\n\r\n" if name == "web" else "QUIT\r\n"
    said = openssl(relayd, name, "-tls1_3", "-ign_eof", stdin=farewell)
    assert "Max Early Data: 0" in said
    assert "Max Early Data: 1" not in said


def openssl(relayd: RelayProcess, name: str, *options: str, stdin: str = "") -> str:
    """What ``openssl s_client`` says of a handshake."""
    starttls = ("-starttls", "smtp") if name in STARTTLS else ()
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{port_of(relayd, name)}", *starttls, *options]
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=60)
    return done.stdout + done.stderr


@pytest.mark.parametrize("name", PORTS)
def test_relayds_own_profile_agrees(relayd: RelayProcess, name: str) -> None:
    starttls = ("--starttls", "smtp") if name in STARTTLS else ()
    done = relayd.cli("tls-profile", "--connect", f"127.0.0.1:{port_of(relayd, name)}", *starttls, "--json")
    rows = json.loads(done.stdout)
    assert not [row for row in rows if row["fails"]]
    assert {row["what"] for row in rows if row["taken"]} >= {"TLS 1.3", "TLS 1.2", "x25519", "extended master secret"}
    assert not {row["what"] for row in rows if row["taken"]} & {"TLS 1.1", "RSA key exchange", "secp224r1", "ffdhe3072"}
