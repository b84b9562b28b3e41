"""A peer that offers one thing: ``python -m relayd.tls.one_offer``, started by ``probe.py`` for one handshake.

OpenSSL reads groups and signature algorithms from the file in OPENSSL_CONF, once, when it loads; so each peer is a
process. It speaks over its standard input, a connected socket, and tells on its standard output what came of it. It
proves nothing and accepts any certificate: it is here to see what the other side does. Imports next to nothing, since
some dozens are started in a row.
"""

from __future__ import annotations

import json
import socket
import ssl
import sys
import warnings
from typing import Any

from relayd.tls.sent_chain import sent_chain

_BLOCK = 16384
_RECORDED_AT_MOST = 65536


def main() -> None:
    """Do the handshake that the argument describes (:class:`relayd.tls.probe.Offer`)."""
    offer: dict[str, Any] = json.loads(sys.argv[1])
    with socket.socket(fileno=sys.stdin.fileno()) as connection:
        connection.settimeout(offer["timeout"])
        try:
            context = _context(offer)
        except (ssl.SSLError, ValueError) as error:
            print(json.dumps({"unable": str(error)}))
            return
        print(json.dumps(_handshake(context, connection, offer)))


def _context(offer: dict[str, Any]) -> ssl.SSLContext:
    warnings.simplefilter("ignore", DeprecationWarning)  # old versions are what this is about
    server = offer["role"] == "server"
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion[offer["lowest"]]
    context.maximum_version = ssl.TLSVersion[offer["highest"]]
    context.set_ciphers(offer["suites"] + ":@SECLEVEL=0")
    if server:
        context.load_cert_chain(offer["certificate"], offer["key"])
        if offer["dh"]:
            context.load_dh_params(offer["dh"])
    return context


def _handshake(context: ssl.SSLContext, connection: socket.socket, offer: dict[str, Any]) -> dict[str, Any]:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = offer["role"] == "server"
    tls = context.wrap_bio(incoming, outgoing, server_side=server, server_hostname=offer["server_name"] or None)
    sent, received, error = b"", b"", ""
    try:
        while True:
            try:
                tls.do_handshake()
                done = True
            except ssl.SSLWantReadError:
                done = False
            except ssl.SSLError as problem:
                done, error = True, problem.reason or str(problem)
            flight = outgoing.read()
            if offer["compression"] and not sent:
                flight = _with_compression(flight)
            sent += flight
            if done:
                _last_flight(connection, flight)
                break
            connection.sendall(flight)
            block = connection.recv(_BLOCK)
            if not block:
                error = "the connection was closed"
                break
            received = (received + block)[:_RECORDED_AT_MOST]
            incoming.write(block)
    except OSError as problem:
        error = problem.strerror or type(problem).__name__
    cipher = tls.cipher()
    chain = () if server or error else sent_chain(tls)
    return {
        "error": error,
        "version": tls.version() or "",
        "suite": cipher[0] if cipher else "",
        "chain": [certificate.hex() for certificate in chain],
        "sent": sent[:_RECORDED_AT_MOST].hex(),
        "received": received.hex(),
    }


def _with_compression(flight: bytes) -> bytes:
    """A ClientHello that offers DEFLATE as well, which OpenSSL is mostly built without (RFC 5246 §7.4.1.2). The
    handshake comes to nothing then; what counts is what the server chose."""
    at = 5 + 4 + 2 + 32  # record, message, version, random
    at += 1 + flight[at]  # session
    at += 2 + int.from_bytes(flight[at : at + 2], "big")  # suites
    methods = flight[at]
    record = int.from_bytes(flight[3:5], "big") + 1
    message = int.from_bytes(flight[6:9], "big") + 1
    head = flight[:3] + record.to_bytes(2, "big") + flight[5:6] + message.to_bytes(3, "big")
    return head + flight[9:at] + bytes((methods + 1, 1)) + flight[at + 1 :]


def _last_flight(connection: socket.socket, flight: bytes) -> None:
    """An alert, or tickets: the other side may have left by now."""
    try:
        connection.sendall(flight)
    except OSError:
        pass


if __name__ == "__main__":
    main()
