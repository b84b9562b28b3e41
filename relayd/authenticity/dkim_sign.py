"""DKIM signatures (RFC 6376, RFC 8301, RFC 8463): c=relaxed/simple with RSA-2048 or Ed25519.

The body hash is computed once, while the body arrives; each copy is then signed by its header alone. Fields that say
who, to whom and what are signed once more often than they occur (RFC 6376 §8.15), so that nobody can add another.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable
from typing import Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

from relayd.errors import SyntaxInvalid
from relayd.mail.address import normalise_domain
from relayd.mail.headers import Headers

_SIGNED: Final = (
    "from", "sender", "reply-to", "to", "cc", "subject", "date", "message-id", "in-reply-to", "references",
    "mime-version", "content-type", "content-transfer-encoding", "content-disposition", "content-id",
)  # fmt: skip
_WHITE_SPACE = re.compile(rb"[ \t]+")
_LINE_END = re.compile(rb"\r\n")
_SELECTOR = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*")
_WIDTH = 72
_LONGEST_SELECTOR = 63  # one label's length; DNS allows more, nobody needs it


class BodyHash:
    """SHA-256 of a body in simple canonicalisation (RFC 6376 §3.4.3), fed in blocks of any size."""

    __slots__ = ("_hash", "_held", "_rest")

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._held = 0  # empty lines at the end so far: they count only when something follows
        self._rest = b""  # a CR at the end of a block: its LF may come with the next

    def feed(self, block: bytes) -> None:
        data = self._rest + block if self._rest else block
        self._rest = b""
        if data.endswith(b"\r"):
            data, self._rest = data[:-1], b"\r"
        end = _content_end(data)
        if end:
            self._release()
            self._hash.update(memoryview(data)[:end])
        self._held += (len(data) - end) // 2

    def digest(self) -> bytes:
        """The hash of what was fed. The empty body is one CRLF."""
        final = self._hash.copy()
        if self._rest:
            _update_line_ends(final, self._held)
            final.update(b"\r")
        final.update(b"\r\n")
        return final.digest()

    def _release(self) -> None:
        _update_line_ends(self._hash, self._held)
        self._held = 0


def _update_line_ends(target: hashlib._Hash, count: int) -> None:
    for _ in range(count // 4096):
        target.update(b"\r\n" * 4096)
    target.update(b"\r\n" * (count % 4096))


def _content_end(data: bytes) -> int:
    """Where the CRLFs at the end of ``data`` begin."""
    if data.endswith(b"\r"):  # a bare CR is content: the last one was held back by the caller
        return len(data)
    end = len(data.rstrip(b"\r\n"))
    irregular = max(data.rfind(b"\n\n", end), data.rfind(b"\r\r", end)) + 1
    if irregular:
        end = irregular
    if data.startswith(b"\n", end):  # a bare LF is content
        end += 1
    return end


def is_selector(text: str) -> bool:
    """Whether ``text`` can stand before ``._domainkey`` (RFC 6376 §3.1)."""
    return len(text) <= _LONGEST_SELECTOR and bool(_SELECTOR.fullmatch(text))


class Signer:
    """Signs for one domain with one key."""

    __slots__ = ("_algorithm", "_key", "domain", "selector")

    def __init__(self, domain: str, selector: str, key: RSAPrivateKey | Ed25519PrivateKey) -> None:
        self.domain = normalise_domain(domain)
        if not is_selector(selector):
            raise SyntaxInvalid("not a DKIM selector")
        self.selector = selector
        self._key = key
        self._algorithm = "rsa-sha256" if isinstance(key, RSAPrivateKey) else "ed25519-sha256"

    def sign(self, head: bytes, body_hash: bytes, now: float, also: Iterable[str] = ()) -> bytes:
        """The DKIM-Signature field, folded, with its line end. ``head`` is the copy's header section as it is sent;
        ``also`` names fields to sign beside the usual ones, in lower case."""
        headers = Headers(head)
        names: list[str] = []
        covered = hashlib.sha256()
        for name in dict.fromkeys((*_SIGNED, *also)):
            fields = headers.all(name)
            names += [name] * (len(fields) + 1)
            for field in reversed(fields):  # RFC 6376 §5.4.2: from the last one up
                covered.update(_relaxed(field.raw) + b"\r\n")
        line = (
            f"DKIM-Signature: v=1; a={self._algorithm}; c=relaxed/simple;\r\n"
            f"\td={self.domain};\r\n\ts={self.selector}; t={int(now)};\r\n"
            f"\th={_folded(':'.join(names), ':')};\r\n"
            f"\tbh={base64.b64encode(body_hash).decode()};\r\n\tb="
        )
        covered.update(_relaxed(line.encode("ascii")))
        signature = base64.b64encode(self._sign(covered.digest())).decode("ascii")
        pieces = [signature[start : start + _WIDTH] for start in range(0, len(signature), _WIDTH)]
        return (line + "\r\n\t ".join(pieces) + "\r\n").encode("ascii")

    def _sign(self, digest: bytes) -> bytes:
        if isinstance(self._key, RSAPrivateKey):
            return self._key.sign(digest, PKCS1v15(), Prehashed(hashes.SHA256()))
        return self._key.sign(digest)  # RFC 8463 §3: PureEdDSA over the SHA-256 hash


def sign_all(signers: Iterable[Signer], head: bytes, body_hash: bytes, now: float, also: Iterable[str] = ()) -> bytes:
    """One signature of each signer, none over another's. Arguments as :meth:`Signer.sign` has them."""
    return b"".join(signer.sign(head, body_hash, now, also) for signer in signers)


def _relaxed(raw: bytes) -> bytes:
    """One field in relaxed canonicalisation, without line end (RFC 6376 §3.4.2)."""
    name, _, value = raw.partition(b":")
    unfolded = _WHITE_SPACE.sub(b" ", _LINE_END.sub(b"", value))
    return name.strip(b" \t").lower() + b":" + unfolded.strip(b" ")


def _folded(text: str, separator: str) -> str:
    """``text`` with a fold after each ``separator`` that would otherwise pass the width."""
    lines = [""]
    for piece in text.split(separator):
        word = piece + separator
        if len(lines[-1]) + len(word) > _WIDTH:
            lines.append("")
        lines[-1] += word
    return "\r\n\t ".join(lines)[: -len(separator)]
