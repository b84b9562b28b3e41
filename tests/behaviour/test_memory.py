"""Large mail from many at once: what is in memory doesn't grow with it."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.kit import mail
from tests.kit.talk import COLLEAGUE, DOCTOR
from tests.kit.usage import Peak, memory
from tests.kit.wait import wait_for

pytestmark = pytest.mark.behaviour

CLIENTS = 8
SIZE = 16 * 2**20
#: Octets of all processes together. Half of what is under way, so that even one copy of each body is too much.
MOST = CLIENTS * SIZE // 2


def test_bodies_of_many_sessions_are_not_in_memory(stage):
    content = mail.plain("<large@noord.example>", DOCTOR, COLLEAGUE, SIZE)
    all_sent = threading.Barrier(CLIENTS + 1, timeout=60)

    def send() -> int:
        with stage.relayd.hospital() as client:
            client.ehlo()
            assert client.mail(DOCTOR)[0] == client.rcpt(COLLEAGUE)[0] == 250
            assert client.docmd("DATA")[0] == 354
            client.sock.sendall(content)
            all_sent.wait()  # with nothing ended, so that all are under way at once
            client.sock.sendall(b".\r\n")
            return client.getreply()[0]

    pid = stage.relayd.child.pid
    before = memory(pid)
    with ThreadPoolExecutor(CLIENTS) as threads, Peak(pid, every=0.1) as peak:
        replies = [threads.submit(send) for _ in range(CLIENTS)]
        all_sent.wait()
        under_way = memory(pid)
        assert [reply.result() for reply in replies] == [250] * CLIENTS
        wait_for(lambda: len(stage.partner.receipts) == CLIENTS, "all to be delivered")
    assert under_way - before < MOST
    assert peak.value - before < MOST
