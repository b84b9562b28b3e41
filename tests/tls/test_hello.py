"""Hellos as they were recorded, by whoever sent them."""

from __future__ import annotations

import ssl

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st

from relayd.tls import hello
from relayd.tls.hello import Hello, read_hello


def recorded(version: ssl.TLSVersion) -> tuple[bytes, bytes]:
    """What a client and a server of this version said, all of it."""
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trustme.CA().issue_cert("x.example").configure_cert(server)
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    client.maximum_version = version
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    from_client, from_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    one = client.wrap_bio(to_client, from_client)
    other = server.wrap_bio(to_server, from_server, server_side=True)
    said, answered = b"", b""
    for _ in range(4):
        for end in (one, other):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                pass
            flight = from_client.read() if end is one else from_server.read()
            (to_server if end is one else to_client).write(flight)
            said, answered = (said + flight, answered) if end is one else (said, answered + flight)
    return said, answered


def test_a_handshake_of_tls_1_2_tells_group_and_hash() -> None:
    said, answered = recorded(ssl.TLSVersion.TLSv1_2)
    client, server = read_hello(said), read_hello(answered)
    assert client is not None
    assert server is not None
    assert client.compression == server.compression == (0,)
    assert (server.group, server.exchange_hash) == ("x25519", "sha256")
    assert {hello.EXTENDED_MASTER_SECRET, hello.RENEGOTIATION_INFO} <= server.extensions
    assert hello.EARLY_DATA not in client.extensions


def test_a_handshake_of_tls_1_3_tells_the_group() -> None:
    server = read_hello(recorded(ssl.TLSVersion.TLSv1_3)[1])
    assert server is not None
    assert (server.group, server.exchange_hash) == ("x25519", "")


def test_a_finite_group_tells_its_size() -> None:
    body = bytes(2 + 32) + b"\0" + b"\0\x9e" + b"\0"
    prime = (256).to_bytes(2, "big") + bytes(256) + b"\0\1\2" + b"\0\1\3" + b"\4\1"
    messages = b"\2" + len(body).to_bytes(3, "big") + body + b"\x0c" + len(prime).to_bytes(3, "big") + prime
    # Cut into records in the middle of a message, as a server may.
    records = b"".join(
        b"\x16\3\3" + len(part).to_bytes(2, "big") + part for part in (messages[:50], messages[50:300], messages[300:])
    )
    assert read_hello(records) == Hello((0,), frozenset(), "dhe2048", "sha256")


@pytest.mark.parametrize("said", [b"", b"\x15\3\3\0\2\2\x28", b"HTTP/1.1 400 Bad\r\n\r\n", b"\x16\3\3\0\4\2\0\0\0"])
def test_what_is_no_hello_is_none(said: bytes) -> None:
    assert read_hello(said) is None


SAID, ANSWERED = recorded(ssl.TLSVersion.TLSv1_2)


@given(st.binary(max_size=200), st.sampled_from([SAID, ANSWERED]), st.integers(0, 400), st.integers(0, 255))
def test_nothing_that_is_said_breaks_the_reader(junk: bytes, real: bytes, at: int, octet: int) -> None:
    read_hello(junk)
    read_hello(real[:at])
    read_hello(real[:at] + bytes([octet]) + real[at + 1 :])
    read_hello(real[:at] + junk + real[at:])
