"""The crash campaign's client: sends without end as the hospital's mail server and notes every 250, synced to disk.

It runs as a process of its own, so that whatever happens to relayd or to the campaign, its log of what was
acknowledged stands. A message whose reply never came is not in the log: nobody promised anything.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import signal
import smtplib
import ssl
import threading
import time
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import NoReturn

from tests.kit.mail import plain

SENDER = "lab@noord.example"
HOSTED = "anna@praktijk.example"
_SMALL = (800, 3_000, 12_000, 60_000)
_LARGE = (270_000, 400_000, 1_100_000)
#: What the partner's server does with a recipient, and how often that is asked for; see tests/kit/sink.py. Nobody ever
#: takes what begins with "never"; an operator may hold the second kind.
_BEHAVIOUR = {"ok": 82, "later": 6, "dotlater": 4, "refuse": 3, "dotrefuse": 3, "never": 1, "neverhold": 1}


@dataclass(frozen=True)
class Acknowledged:
    """A message that relayd answered for with 250, at ``at`` by ``time.monotonic``. ``recipients`` had theirs too.

    ``queue_id`` is what relayd calls it, ``sha256`` that of its body.
    """

    message_id: str
    queue_id: str
    recipients: list[str]
    sha256: str
    at: float


def read(log: Path) -> list[Acknowledged]:
    """Everything that was acknowledged so far."""
    return [Acknowledged(**json.loads(line)) for line in log.read_text().splitlines()] if log.exists() else []


class _Log:
    """Acknowledged messages, one JSON line each."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600)
        self._lock = threading.Lock()

    def write(self, acknowledged: Acknowledged) -> None:
        line = json.dumps(asdict(acknowledged)).encode()
        with self._lock:
            os.write(self._file, line + b"\n")
            os.fdatasync(self._file)

    def close(self) -> None:
        """The last line is complete, and none follows."""
        self._lock.acquire()


def _recipients(random_: random.Random, key: str) -> list[str]:
    """One to four at the partner, some of which say "later" or "no"; now and then a mailbox hosted here."""
    count = random_.choices((1, 2, 4), (70, 20, 10))[0]
    prefixes = random_.choices(tuple(_BEHAVIOUR), tuple(_BEHAVIOUR.values()), k=count)
    chosen = [f"{prefix}-{n}-{key}@partner.example" for n, prefix in enumerate(prefixes)]
    if random_.random() < 0.1:
        chosen.append(HOSTED)
    return chosen


def _send_until_broken(arguments: argparse.Namespace, log: _Log, random_: random.Random) -> None:
    context = ssl.create_default_context(cafile=arguments.ca)
    context.load_cert_chain(arguments.certificate, arguments.key)
    with smtplib.SMTP("127.0.0.1", arguments.port, "mail.noord.example", timeout=20) as client:
        client.starttls(context=context)
        client.ehlo()
        while True:
            if (acknowledged := _send(client, random_)) is not None:
                log.write(acknowledged)
            time.sleep(arguments.pause)


def _send(client: smtplib.SMTP, random_: random.Random) -> Acknowledged | None:
    """Send one message; None when it was refused, for now or for good."""
    key = f"{random_.getrandbits(64):016x}"
    message_id = f"<{key}@noord.example>"
    size = random_.choice(_LARGE if random_.random() < 0.06 else _SMALL)
    recipients = _recipients(random_, key)
    content = plain(message_id, SENDER, recipients[0], size)
    client.mail(SENDER)
    taken = [address for address in recipients if client.rcpt(address)[0] == 250]
    code, reply = client.data(content)
    if code != 250:
        client.rset()
        return None
    # "2.0.0 Accepted as ID"
    queue_id = reply.decode().split()[-1]
    digest = sha256(content.partition(b"\r\n\r\n")[2]).hexdigest()
    return Acknowledged(message_id, queue_id, taken, digest, time.monotonic())


def _client(arguments: argparse.Namespace, log: _Log, number: int) -> None:
    random_ = random.Random(f"{arguments.seed}-{number}-{os.getpid()}")
    while True:
        # A killed relayd looks like many things from here; the next connection will tell.
        with contextlib.suppress(OSError, smtplib.SMTPException):
            _send_until_broken(arguments, log, random_)
        time.sleep(0.05)


def main() -> NoReturn:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--ca", type=Path, required=True)
    parser.add_argument("--certificate", type=Path, required=True)
    parser.add_argument("--key", type=Path, required=True)
    parser.add_argument("--log", type=Path, required=True)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--pause", type=float, default=0.005)
    parser.add_argument("--seed", default="0")
    arguments = parser.parse_args()
    ends = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)
    log = _Log(arguments.log)
    for number in range(arguments.clients):
        threading.Thread(target=_client, args=(arguments, log, number), daemon=True).start()
    signal.sigwait(ends)
    log.close()
    os._exit(0)  # whoever waits for a relayd that doesn't answer isn't waited for


if __name__ == "__main__":
    main()
