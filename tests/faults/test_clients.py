"""Clients that vanish, dribble, flood and don't listen: what wasn't acknowledged isn't kept unless the journal says so,
and everybody else is served."""

from __future__ import annotations

import os
import resource
import smtplib
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.kit import mail
from tests.kit.matrix import Matrix
from tests.kit.site import Site
from tests.kit.talk import DOCTOR, begin, data
from tests.kit.usage import memory
from tests.kit.wait import wait_for
from tests.kit.ward import Ward, ward

pytestmark = pytest.mark.behaviour

CLIENTS = "Clients"
MOST, PER_PEER = 900, 50


@pytest.fixture(scope="module")
def patient(site: Site) -> Iterator[Ward]:
    site.relayd["limits"] = {"connections": MOST, "connections_per_peer": PER_PEER}
    with ward(site) as patient:
        yield patient


def _chunk(client: smtplib.SMTP, announced: int, sent: int, *, answered: bool) -> None:
    begin(client, f"MAIL FROM:<{DOCTOR}>", TO)
    client.sock.sendall(b"BDAT %d\r\nSubject: x\r\n\r\n" % announced + b"y" * (sent - 14))
    if answered:
        assert client.getreply()[0] == 250


TO = "RCPT TO:<na@partner.example>"
PLACES: dict[str, Callable[[smtplib.SMTP], object]] = {
    "after EHLO": lambda client: client.ehlo(),
    "after MAIL": lambda client: begin(client, f"MAIL FROM:<{DOCTOR}>"),
    "after RCPT": lambda client: begin(client, f"MAIL FROM:<{DOCTOR}>", TO),
    "after DATA": data,
    "in the middle of a small body": lambda client: (data(client), client.sock.sendall(b"Subject: x\r\n\r\nbo")),
    "in the middle of a large body": lambda client: (
        data(client),
        client.sock.sendall(b"Subject: x\r\n\r\n" + (b"y" * 70 + b"\r\n") * 20_000),
    ),
    "in the middle of a BDAT chunk": lambda client: _chunk(client, 1_000_000, 600_000, answered=False),
    "between two BDAT chunks": lambda client: _chunk(client, 600_000, 600_000, answered=True),
}


def _vanish(sock: socket.socket) -> None:
    """Gone without a goodbye: the other side gets a reset."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def _descriptors(patient: Ward) -> int:
    return sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in patient.relayd.processes())


def _incoming(patient: Ward) -> list[Path]:
    return list((patient.site.state / "blobs" / "incoming").iterdir())


@pytest.mark.parametrize("place", ["before anything", "in the TLS handshake", *PLACES])
def test_a_client_that_vanishes_leaves_nothing(patient: Ward, matrix: Matrix, place: str) -> None:
    patient.wait_until_final(patient.send())
    messages, descriptors = patient.messages(), _descriptors(patient)
    if place in PLACES:
        with patient.relayd.hospital() as client:
            PLACES[place](client)
            _vanish(client.sock)
            client.close()
    else:
        with socket.create_connection(("127.0.0.1", patient.site.relay_port)) as sock:
            if place != "before anything":
                sock.recv(1000)
                sock.sendall(b"EHLO x.example\r\n")
                sock.recv(1000)
                sock.sendall(b"STARTTLS\r\n")
                sock.recv(1000)
                sock.sendall(b"\x16\x03\x01\x02")
            _vanish(sock)
    wait_for(lambda: _descriptors(patient) <= descriptors, "its connection and files to be closed")
    assert _incoming(patient) == []
    assert patient.messages() == messages
    matrix.row(
        CLIENTS,
        place,
        "the client vanishes",
        client_saw="nothing more",
        journal_says="nothing",
        recovered="not needed; descriptors and files are gone",
    )


@pytest.mark.parametrize("end", ["the final dot", "BDAT LAST"])
def test_a_client_that_leaves_before_the_250_is_served_all_the_same(patient: Ward, matrix: Matrix, end: str) -> None:
    recipient = f"{end.split()[-1].lower()}@partner.example"
    content = mail.message(DOCTOR, [recipient])
    before = patient.messages()
    with patient.relayd.hospital() as client:
        begin(client, f"MAIL FROM:<{DOCTOR}>", f"RCPT TO:<{recipient}>")
        if end == "BDAT LAST":
            client.sock.sendall(b"BDAT %d LAST\r\n" % len(content) + content)
        else:
            assert client.docmd("DATA")[0] == 354
            client.sock.sendall(content + b".\r\n")
        client.close()
    patient.partner.wait_for_receipt(mail.message_id_of(content))
    assert patient.messages() == before + 1
    kept = patient.kept_for(recipient)
    wait_for(lambda: patient.journal(kept) == ["received", "judged", "delivered"], "the journal to say so")
    assert sum(recipient in receipt.recipients for receipt in patient.partner.receipts) == 1
    matrix.row(
        CLIENTS,
        f"after {end}, before the 250",
        "the client vanishes",
        client_saw="no reply: it will send again",
        journal_says="received, judged, delivered",
        recovered="not needed; a sender that sends again causes a duplicate",
    )


def test_a_thousand_connections_at_once(patient: Ward, matrix: Matrix) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
    patient.wait_until_final(patient.send())
    with ExitStack() as warm:
        _open(patient, warm, 300)
    descriptors, used = _settled_descriptors(patient), memory(patient.relayd.child.pid)
    try:
        with ExitStack() as crowd:
            greetings = _open(patient, crowd, 1000)
            assert greetings.count(b"220") == MOST
            assert greetings.count(b"421") == 1000 - MOST
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    wait_for(lambda: _descriptors(patient) <= descriptors, "all descriptors to be closed")
    again = patient.send()
    assert patient.wait_until_final(again) == ["received", "judged", "delivered"]
    assert memory(patient.relayd.child.pid) < used + 40 * 2**20
    matrix.row(
        CLIENTS,
        "connect",
        f"1,000 connections at once, where {MOST} are allowed",
        client_saw=f"{MOST} greetings, {1000 - MOST} times 421; {again.saw} when they had gone",
        journal_says="nothing of them",
        recovered="by itself; descriptors and memory are given back",
    )


def _settled_descriptors(patient: Ward) -> int:
    """Once all connections of before are closed, the partner's kept one excepted."""
    pids = patient.relayd.processes()
    wait_for(lambda: not any(_connections(pid, patient.site.relay_port) for pid in pids), "connections to be closed")
    return _descriptors(patient)


def _connections(pid: int, port: int) -> int:
    """Established connections on this port that the process holds."""
    inodes = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            inodes.add(os.readlink(entry))
        except FileNotFoundError:
            continue
    count = 0
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        count += fields[1].endswith(f":{port:04X}") and fields[3] == "01" and f"socket:[{fields[9]}]" in inodes
    return count


def _open(patient: Ward, stack: ExitStack, count: int) -> list[bytes]:
    """So many connections, 50 from each of our own addresses; the first three octets that each got."""
    sockets = []
    for number in range(count):
        sock = stack.enter_context(socket.socket())
        sock.settimeout(30)
        sock.bind((f"127.0.1.{1 + number // PER_PEER}", 0))
        sock.connect(("127.0.0.1", patient.site.relay_port))
        sockets.append(sock)
    return [sock.recv(3) for sock in sockets]


def test_more_connections_of_one_peer_than_it_may_have(patient: Ward, matrix: Matrix) -> None:
    with ExitStack() as stack:
        greetings = []
        for _ in range(PER_PEER + 10):
            sock = stack.enter_context(
                socket.create_connection(("127.0.0.1", patient.site.relay_port), 30, ("127.0.2.1", 0))
            )
            greetings.append(sock.recv(3))
        assert greetings.count(b"220") == PER_PEER
        other = patient.send()
    assert other.saw == "250 2.0.0"
    matrix.row(
        CLIENTS,
        "connect",
        f"{PER_PEER + 10} connections of one peer, where {PER_PEER} are allowed",
        client_saw=f"{PER_PEER} greetings, 10 times 421; another peer {other.saw} at the same time",
        journal_says="nothing of them",
        recovered="not needed",
    )
