"""Handshakes with somebody's server, over a new connection for each."""

from __future__ import annotations

import smtplib
import socket

from relayd.mail.address import is_address
from relayd.tls.probe import TIMEOUT, Offer, Prober, Seen


class Remote:
    """A server to look at: ``attempt`` is what :func:`relayd.tls.profile.look` wants. ``name`` is for SNI, the host's
    own when it is "". ``chain`` has the certificates of the first handshake that succeeded, DER, as they were sent."""

    def __init__(self, prober: Prober, host: str, port: int, *, starttls: bool, name: str = "") -> None:
        self._prober = prober
        self._host = host
        self._port = port
        self._starttls = starttls
        self._name = name or ("" if is_address(host) else host)
        self.chain: tuple[bytes, ...] = ()

    def attempt(self, offer: Offer) -> Seen:
        """One handshake."""
        try:
            with self._connected() as connection:
                seen = self._prober.client(offer, connection, self._name)
        except smtplib.SMTPResponseException as error:
            return Seen(unable=f"no TLS: {error.smtp_code} to STARTTLS")
        except (OSError, smtplib.SMTPException) as error:
            return Seen(unable=f"no connection: {getattr(error, 'strerror', None) or type(error).__name__}")
        self.chain = self.chain or seen.chain
        return seen

    def _connected(self) -> socket.socket:
        """A connection that is ready for a ClientHello."""
        if not self._starttls:
            return socket.create_connection((self._host, self._port), TIMEOUT)
        client = smtplib.SMTP(self._host, self._port, timeout=TIMEOUT)
        try:
            client.ehlo()
            code, text = client.docmd("STARTTLS")
            if code != 220 or client.sock is None:
                raise smtplib.SMTPResponseException(code, text)
            return client.sock.dup()
        finally:
            client.close()
