"""The server's side of SCRAM-SHA-256 (RFC 5802, RFC 7677), without channel binding. Pure: no I/O."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import secrets
from typing import Final

from relayd.errors import SyntaxInvalid
from relayd.smtp.door import ScramSecret

NAME: Final = "SCRAM-SHA-256"
_FIRST: Final = re.compile(r"([ny]),(?:a=([^,]+))?,(n=([^,]+),r=([!-+\--~]{8,512})(?:,.*)?)", re.DOTALL)
_FINAL: Final = re.compile(r"(c=([A-Za-z0-9+/=]+),r=([!-+\--~]+)),p=([A-Za-z0-9+/=]+)")


class Exchange:
    """One authentication: client-first in, server-first out, client-final in, server-final out."""

    def __init__(self, client_first: bytes, nonce: str | None = None) -> None:
        """Raises SyntaxInvalid; also for a client that insists on channel binding (gs2 flag ``p``)."""
        match = _FIRST.fullmatch(_text(client_first))
        if not match:
            raise SyntaxInvalid("not a client-first-message of SCRAM without channel binding")
        flag, authzid, self._bare, name, client_nonce = match.groups()
        self.username = _name(name)
        if authzid is not None and _name(authzid) != self.username:
            raise SyntaxInvalid("nobody may act as somebody else")
        # RFC 5802 §6: "y" says that the client could bind but saw no -PLUS offered. That is the truth here.
        self._gs2 = f"{flag},{f'a={authzid}' if authzid else ''},".encode()
        self._nonce = client_nonce + (nonce or secrets.token_urlsafe(18))
        self._server_first = ""

    def challenge(self, secret: ScramSecret) -> bytes:
        """server-first-message."""
        salt = base64.b64encode(secret.salt).decode()
        self._server_first = f"r={self._nonce},s={salt},i={secret.iterations}"
        return self._server_first.encode()

    def finish(self, secret: ScramSecret, client_final: bytes) -> bytes | None:
        """server-final-message when the proof holds, else None. Raises SyntaxInvalid."""
        match = _FINAL.fullmatch(_text(client_final))
        if not match:
            raise SyntaxInvalid("not a client-final-message of SCRAM")
        without_proof, binding, nonce, proof = match.groups()
        signed = f"{self._bare},{self._server_first},{without_proof}".encode()
        signature = hmac.digest(secret.stored_key, signed, "sha256")
        client_key = bytes(a ^ b for a, b in zip(_base64(proof).ljust(32, b"\0"), signature, strict=False))
        proved = hmac.compare_digest(hashlib.sha256(client_key).digest(), secret.stored_key)
        if not proved or nonce != self._nonce or _base64(binding) != self._gs2 or not secret.account:
            return None
        return b"v=" + base64.b64encode(hmac.digest(secret.server_key, signed, "sha256"))


def _text(octets: bytes) -> str:
    try:
        return octets.decode()
    except UnicodeDecodeError:
        raise SyntaxInvalid("SCRAM messages are UTF-8") from None


def _name(text: str) -> str:
    """RFC 5802 §5.1: comma and equals sign are written =2C and =3D."""
    if re.search("=(?!2C|3D)", text):
        raise SyntaxInvalid("a user name holds a bare equals sign")
    return text.replace("=2C", ",").replace("=3D", "=")


def _base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        raise SyntaxInvalid("not base64") from None
