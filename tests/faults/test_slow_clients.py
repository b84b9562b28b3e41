"""Clients that take all the time in the world, against limits of a second: they are cut off, and others are served."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from tests.kit.matrix import Matrix
from tests.kit.site import Site
from tests.kit.talk import data
from tests.kit.ward import Ward, ward

pytestmark = pytest.mark.behaviour

CLIENTS = "Clients"


@pytest.fixture(scope="module")
def impatient(site: Site) -> Iterator[Ward]:
    site.relayd["limits"] = {"idle": "1s"}
    with ward(site) as impatient:
        yield impatient


def _until_closed(sock: socket.socket, dribble: bytes = b"") -> bytes:
    """What comes until the other side closes; meanwhile, and again and again, one octet goes out."""
    sock.settimeout(0.1 if dribble else 30)
    said = b""
    while True:
        try:
            got = sock.recv(65536)
        except TimeoutError:
            sock.sendall(dribble)
            continue
        except OSError:
            return said
        if not got:
            return said
        said += got


@pytest.mark.parametrize("place", ["a command", "a body"])
def test_a_client_that_dribbles_is_cut_off(impatient: Ward, matrix: Matrix, place: str) -> None:
    with impatient.relayd.hospital() as client:
        if place == "a body":
            data(client)
        said = _until_closed(client.sock, b"x")
        client.close()
    assert said.startswith(b"421 4.4.2 ")
    matrix.row(
        CLIENTS,
        place,
        "comes in single octets, without an end",
        client_saw="421 4.4.2 after `limits.idle`",
        journal_says="nothing",
        recovered="not needed",
    )


def _send_for_ever(sock: socket.socket, octets: bytes) -> None:
    while True:
        sock.sendall(octets)


def test_a_client_that_never_reads_is_cut_off(impatient: Ward, matrix: Matrix) -> None:
    with socket.create_connection(("127.0.0.1", impatient.site.relay_port)) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.settimeout(60)
        with pytest.raises(OSError, match=r"reset|Broken pipe"):
            _send_for_ever(sock, b"NOOP\r\n" * 1000)
    other = impatient.send()
    assert other.saw == "250 2.0.0"
    matrix.row(
        CLIENTS,
        "any command",
        "sends and never reads replies",
        client_saw="the connection is cut after `limits.idle`",
        journal_says="nothing",
        recovered="not needed",
    )


def test_pipelined_garbage_is_cut_off(impatient: Ward, matrix: Matrix) -> None:
    with socket.create_connection(("127.0.0.1", impatient.site.relay_port)) as sock:
        sock.recv(1000)
        sock.sendall(b"".join(b"XYZZY %d\r\n" % number for number in range(1000)))
        said = _until_closed(sock)
    assert said.count(b"500 5.5.2") == 11
    assert said.splitlines()[-1].startswith(b"421 4.7.0")
    other = impatient.send()
    assert other.saw == "250 2.0.0"
    matrix.row(
        CLIENTS,
        "any command",
        "1,000 lines of pipelined garbage",
        client_saw="500 5.5.2 as often as `limits.errors` allows, then 421 4.7.0",
        journal_says="nothing",
        recovered="not needed",
    )
