"""What two sides say in the clear before they encrypt: the hellos of TLS 1.2 and 1.3, and TLS 1.2's key exchange.

Python's ssl module tells neither group nor signature nor extensions of a handshake. Reads what was recorded of one;
trusts nothing in it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

_HANDSHAKE: Final = 22
_CLIENT_HELLO, _SERVER_HELLO, _SERVER_KEY_EXCHANGE = 1, 2, 12
_NAMED_CURVE: Final = 3

#: Extensions (IANA's registry "TLS ExtensionType Values").
EXTENDED_MASTER_SECRET, EARLY_DATA, KEY_SHARE, RENEGOTIATION_INFO = 23, 42, 51, 0xFF01

#: IANA's "TLS Supported Groups".
GROUPS: Final = {
    19: "secp192r1",
    21: "secp224r1",
    22: "secp256k1",
    23: "secp256r1",
    24: "secp384r1",
    25: "secp521r1",
    26: "brainpoolP256r1",
    27: "brainpoolP384r1",
    28: "brainpoolP512r1",
    29: "x25519",
    30: "x448",
    31: "brainpoolP256r1tls13",
    32: "brainpoolP384r1tls13",
    33: "brainpoolP512r1tls13",
    256: "ffdhe2048",
    257: "ffdhe3072",
    258: "ffdhe4096",
    259: "ffdhe6144",
    260: "ffdhe8192",
    0x11EB: "SecP256r1MLKEM768",
    0x11EC: "X25519MLKEM768",
    0x11ED: "SecP384r1MLKEM1024",
}
#: How the primes of RFC 7919 begin: 64 ones, then e.
_FFDHE: Final = b"\xff" * 8 + bytes.fromhex("adf85458a2bb4a9a")
_HASHES: Final = {1: "md5", 2: "sha1", 3: "sha224", 4: "sha256", 5: "sha384", 6: "sha512"}
#: IANA's "TLS SignatureScheme" values whose first octet doesn't name the hash.
_SCHEMES: Final = {
    0x0804: "sha256",
    0x0805: "sha384",
    0x0806: "sha512",
    0x0809: "sha256",
    0x080A: "sha384",
    0x080B: "sha512",
    0x0807: "ed25519",
    0x0808: "ed448",
}


@dataclass(slots=True)
class Hello:
    """A ClientHello or ServerHello. ``group``, and ``exchange_hash`` of the signature in TLS 1.2's key exchange, are
    what the server chose, "" where it doesn't tell. ``compression`` lists methods, 0 for none."""

    compression: tuple[int, ...]
    extensions: frozenset[int]
    group: str = ""
    exchange_hash: str = ""


def read_hello(recorded: bytes) -> Hello | None:
    """The first hello in what one side sent; None when there is none that can be read."""
    hello: Hello | None = None
    try:
        for kind, message in _messages(recorded):
            if kind == _CLIENT_HELLO:
                return _client_hello(_Reader(message))
            if kind == _SERVER_HELLO:
                hello = _server_hello(_Reader(message))
            elif kind == _SERVER_KEY_EXCHANGE and hello is not None:
                _key_exchange(_Reader(message), hello)
    except IndexError:
        pass
    return hello


class _Reader:
    """Takes fields off the front. Raises IndexError when there is less than announced."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def take(self, length: int) -> bytes:
        if length > len(self._data):
            raise IndexError("truncated")
        taken, self._data = self._data[:length], self._data[length:]
        return taken

    def number(self, octets: int) -> int:
        return int.from_bytes(self.take(octets), "big")

    def block(self, octets: int) -> bytes:
        """A field with its length in front, in so many octets."""
        return self.take(self.number(octets))

    def __bool__(self) -> bool:
        return bool(self._data)


def _messages(recorded: bytes) -> Iterator[tuple[int, bytes]]:
    """The handshake messages before encryption, each with its kind (RFC 5246 §6.2.1, §7.4)."""
    records, stream = _Reader(recorded), b""
    while records:
        kind = records.number(1)
        records.take(2)
        fragment = records.block(2)
        if kind != _HANDSHAKE:
            break
        stream += fragment
        while len(stream) >= 4 and len(stream) >= 4 + (length := int.from_bytes(stream[1:4], "big")):
            yield stream[0], stream[4 : 4 + length]
            stream = stream[4 + length :]


def _extensions(reader: _Reader) -> dict[int, bytes]:
    block = _Reader(reader.block(2)) if reader else _Reader(b"")
    found: dict[int, bytes] = {}
    while block:
        kind = block.number(2)
        found[kind] = block.block(2)
    return found


def _client_hello(reader: _Reader) -> Hello:
    """RFC 5246 §7.4.1.2."""
    reader.take(2 + 32)
    reader.block(1)
    reader.block(2)
    compression = tuple(reader.block(1))
    return Hello(compression, frozenset(_extensions(reader)))


def _server_hello(reader: _Reader) -> Hello:
    """RFC 5246 §7.4.1.3, RFC 8446 §4.1.3."""
    reader.take(2 + 32)
    reader.block(1)
    reader.take(2)
    compression = reader.number(1)
    extensions = _extensions(reader)
    share = extensions.get(KEY_SHARE, b"")
    group = _group_of(int.from_bytes(share[:2], "big")) if len(share) >= 2 else ""
    return Hello((compression,), frozenset(extensions), group)


def _key_exchange(reader: _Reader, hello: Hello) -> None:
    """RFC 8422 §5.4; finite groups (RFC 5246 §7.4.3) are told by their prime."""
    kind = reader.take(1)
    if kind[0] == _NAMED_CURVE:
        hello.group = _group_of(reader.number(2))
        reader.block(1)
    else:
        prime = reader.take(int.from_bytes(kind + reader.take(1), "big"))
        reader.block(2)
        reader.block(2)
        known = prime.startswith(_FFDHE) and prime.endswith(b"\xff" * 8)
        hello.group = f"{'ffdhe' if known else 'dhe'}{len(prime) * 8}"
    hello.exchange_hash = _hash_of(reader.number(2))


def _group_of(number: int) -> str:
    return GROUPS.get(number, f"group {number}")


def _hash_of(scheme: int) -> str:
    return _SCHEMES.get(scheme) or _HASHES.get(scheme >> 8, f"scheme {scheme}")
