"""One correspondent in the midst of a load: how long from the end of data until the message is accepted.

A process of its own, so that nothing else of the bench stands in its way. It sends short messages on one connection,
some dozens a second, until its input ends; then it prints what each one waited, in seconds, as a JSON list.
"""

from __future__ import annotations

import argparse
import json
import smtplib
import ssl
import sys
import threading
import time

#: Seconds between two messages.
_EVERY = 0.02


def waits(
    port: int, sender: str, recipient: str, size: int, end: threading.Event, tls: ssl.SSLContext | None
) -> list[float]:
    """What each message waited, in order."""
    line = b"The quick brown fox jumps over the lazy dog, and does so again tomorrow.\r\n"
    head = f"From: <{sender}>\r\nTo: <{recipient}>\r\nSubject: probe\r\n\r\n".encode()
    content = head + line * (size // len(line)) + b".\r\n"
    found = []
    with smtplib.SMTP("127.0.0.1", port, "probe.stranger.example", timeout=120) as client:
        client.ehlo()
        if tls is not None:
            client.starttls(context=tls)
            client.ehlo()
        while not end.wait(_EVERY):
            client.mail(sender)
            client.rcpt(recipient)
            client.docmd("DATA")
            client.send(content)
            started = time.perf_counter()
            code, said = client.getreply()
            found.append(time.perf_counter() - started)
            if code != 250:
                raise RuntimeError(f"the probe was answered {code} {said!r}")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--sender", required=True)
    parser.add_argument("--recipient", required=True)
    parser.add_argument("--size", type=int, default=4096)
    parser.add_argument("--certificate", help="say STARTTLS and show this one")
    parser.add_argument("--key")
    arguments = parser.parse_args()
    tls = None
    if arguments.certificate:
        tls = ssl.create_default_context()
        tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
        tls.load_cert_chain(arguments.certificate, arguments.key)
    end = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), end.set()), daemon=True).start()
    print(json.dumps(waits(arguments.port, arguments.sender, arguments.recipient, arguments.size, end, tls)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
