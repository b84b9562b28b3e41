"""``relayd tls-profile``: real handshakes in both directions, each with a peer that offers one thing."""

from __future__ import annotations

import json
import os
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from relayd.tls.contexts import shipped_openssl_conf
from relayd.tls.guideline import Level
from relayd.tls.profile import Side
from tests.kit.ca import Authority
from tests.kit.configuration import write_configuration
from tests.kit.threaded import threaded_server

Rows = list[dict[str, Any]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("configuration")
    write_configuration(folder)
    issued = Authority(folder / "ca").issue("relay.example", rsa_bits=2048)
    (folder / "tls.pem").write_bytes(issued.certificate.read_bytes())
    (folder / "tls.key").write_bytes(issued.key.read_bytes())
    (folder / "tls.key").chmod(0o600)
    (folder / "clients.pem").write_bytes(issued.certificate.read_bytes())
    return folder


def profile(*arguments: str | Path, openssl_conf: Path | None = None) -> tuple[int, Rows]:
    """Exit status and rows."""
    environment = {key: value for key, value in os.environ.items() if key != "OPENSSL_CONF"}
    if openssl_conf is not None:
        environment["OPENSSL_CONF"] = str(openssl_conf)
    command = [sys.executable, "-m", "relayd.cli.main", "tls-profile", "--json", *map(str, arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=100)
    assert done.returncode in (0, 1), done.stderr
    return done.returncode, json.loads(done.stdout)


@pytest.fixture(scope="module")
def ours(folder: Path) -> tuple[int, Rows]:
    return profile("--config", folder)


def taken(rows: Rows, side: Side) -> set[str]:
    return {row["what"] for row in rows if row["side"] == side and row["taken"]}


def test_relayd_meets_the_guideline_in_both_directions(ours: tuple[int, Rows]) -> None:
    status, rows = ours
    assert status == 0
    assert [row for row in rows if row["fails"]] == []
    assert {row["side"] for row in rows} == {Side.SERVER, Side.PROVEN, Side.UNPROVEN}


@pytest.mark.parametrize("side", [Side.SERVER, Side.PROVEN, Side.UNPROVEN])
@pytest.mark.parametrize(
    "what",
    [
        *("TLS 1.0", "TLS 1.1", "TLS_AES_128_CCM_8_SHA256", "ECDHE, AES-CBC with SHA-1"),
        *("RSA key exchange", "CCM with short tags", "no certificate", "no encryption", "ffdhe2048", "ffdhe3072"),
        *("secp224r1", "secp192r1", "secp256k1", "ECDSA with SHA224", "RSA with SHA224", "ECDSA with SHA1"),
        *("RSA with SHA1", "renegotiation by the peer", "ECDHE, Camellia and ARIA"),
    ],
)
def test_what_is_weak_is_refused_in_every_direction(ours: tuple[int, Rows], side: Side, what: str) -> None:
    (row,) = [row for row in ours[1] if row["side"] == side and row["what"] == what]
    assert row["taken"] is False
    assert row["level"] in (Level.PHASE_OUT, Level.INSUFFICIENT)


@pytest.mark.parametrize("side", [Side.SERVER, Side.PROVEN, Side.UNPROVEN])
def test_what_is_good_is_taken_in_every_direction(ours: tuple[int, Rows], side: Side) -> None:
    assert taken(ours[1], side) >= {
        *("TLS 1.3", "TLS 1.2", "TLS_AES_256_GCM_SHA384", "ECDHE-RSA-AES256-GCM-SHA384", "x25519", "secp256r1"),
        *("extended master secret", "secure renegotiation", "RSA with SHA256", "ECDSA with SHA384"),
    }


def test_only_next_hops_that_prove_nothing_are_met_with_what_is_phased_out(ours: tuple[int, Rows]) -> None:
    cbc = "ECDHE, AES-CBC with SHA-2"
    assert [side for side in Side if cbc in taken(ours[1], side)] == [Side.UNPROVEN]


def test_a_weak_certificate_proves_nothing(ours: tuple[int, Rows]) -> None:
    (row,) = [row for row in ours[1] if row["what"] == "RSA key of 1024 bits"]
    assert (row["side"], row["taken"]) == (Side.PROVEN, False)


def test_our_own_certificate_is_judged(ours: tuple[int, Rows]) -> None:
    levels = {row["what"]: row["level"] for row in ours[1] if row["subject"] == "certificate"}
    assert levels["the certificate's RSA key of 2048 bits"] == Level.PHASE_OUT


@pytest.mark.skipif(ssl.OPENSSL_VERSION_INFO < (3, 5), reason="OpenSSL before 3.5 has no ML-KEM")
@pytest.mark.parametrize("side", [Side.SERVER, Side.PROVEN, Side.UNPROVEN])
def test_hybrid_groups_are_taken(ours: tuple[int, Rows], side: Side) -> None:
    assert taken(ours[1], side) >= {"X25519MLKEM768", "SecP256r1MLKEM768", "SecP384r1MLKEM1024"}


def test_what_openssl_cannot_offer_is_said_to_be_untried(ours: tuple[int, Rows]) -> None:
    if ssl.OPENSSL_VERSION_INFO < (3, 5):
        assert {row["taken"] for row in ours[1] if row["what"] == "X25519MLKEM768"} == {None}


@pytest.mark.parametrize(
    ("weakening", "what"),
    [
        (("TLS_AES_128_GCM_SHA256", "TLS_AES_128_CCM_8_SHA256"), "TLS_AES_128_CCM_8_SHA256"),
        ((":P-521", ":P-521:secp256k1"), "secp256k1"),
        ((":P-521", ":P-521:ffdhe2048"), "ffdhe2048"),
        (("TLS_AES_256_GCM_SHA384:", ""), "TLS_AES_256_GCM_SHA384"),
    ],
)
def test_a_configuration_of_openssl_that_falls_short_is_told(
    folder: Path, tmp_path: Path, weakening: tuple[str, str], what: str
) -> None:
    spoilt = tmp_path / "openssl.cnf"
    spoilt.write_text(shipped_openssl_conf().read_text().replace(*weakening))
    status, rows = profile("--config", folder, openssl_conf=spoilt)
    assert status == 1
    assert {row["what"] for row in rows if row["fails"]} == {what}
    assert {row["side"] for row in rows if row["fails"]} == {Side.SERVER, Side.PROVEN, Side.UNPROVEN}


@contextmanager
def somebodys_server(folder: Path, **options: Any) -> Iterator[int]:
    """A server that completes handshakes and says nothing; its port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "tls.pem", folder / "tls.key")
    for name, value in options.items():
        getattr(context, name)(value)
    with threaded_server(lambda connection: context.wrap_socket(connection, server_side=True).close()) as port:
        yield port


def test_somebody_elses_server_is_looked_at(folder: Path) -> None:
    with somebodys_server(folder, set_ciphers="AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:@SECLEVEL=0") as port:
        status, rows = profile("--connect", f"127.0.0.1:{port}")
    assert status == 1
    assert {row["what"] for row in rows if row["fails"]} >= {"RSA key exchange"}
    assert "the certificate's RSA key of 2048 bits" in {row["what"] for row in rows}


def test_a_server_that_is_not_there_is_told(capfd: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    command = [sys.executable, "-m", "relayd.cli.main", "tls-profile", "--connect", f"127.0.0.1:{port}"]
    assert subprocess.run(command, check=False).returncode == 1
    assert capfd.readouterr() == ("", f"relayd: 127.0.0.1:{port} can't be reached: Connection refused\n")
