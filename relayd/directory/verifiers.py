"""What is kept of a password, in the forms of Dovecot's password schemes, so that one file serves both.

::

    {ARGON2ID}$argon2id$v=19$m=65536,t=3,p=1$salt$hash     the PHC string, salt and hash in base64 without padding
    {SCRAM-SHA-256}4096,salt,StoredKey,ServerKey           RFC 5802 §3 with RFC 7677, the last three in base64

The first resists guessing best once the file is stolen; the second also serves clients that log in by SCRAM, which
never show the server their password. Everything here is slow on purpose: not on the loop.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import secrets
import stringprep
import unicodedata
from dataclasses import dataclass
from typing import Final, Literal

from argon2 import PasswordHasher, Type
from argon2.exceptions import InvalidHashError, VerificationError, VerifyMismatchError

from relayd.errors import SyntaxInvalid

#: One lane, since the libsodium behind Dovecot knows no more.
_ARGON2: Final = PasswordHasher(time_cost=3, memory_cost=64 * 1024, parallelism=1, type=Type.ID)
_ARGON2_PREFIX: Final = "{ARGON2ID}"
_SCRAM_PREFIX: Final = "{SCRAM-SHA-256}"
_SCRAM: Final = re.compile(r"([1-9][0-9]{0,7}),([A-Za-z0-9+/=]+),([A-Za-z0-9+/=]+),([A-Za-z0-9+/=]+)")
#: The client works as hard as the server here, and there are telephones; 4096 is RFC 7677's least.
SCRAM_ITERATIONS: Final = 100_000

Scheme = Literal["ARGON2ID", "SCRAM-SHA-256"]


@dataclass(frozen=True, slots=True)
class ScramVerifier:
    """A {SCRAM-SHA-256} verifier. ``account`` is "" for one that is made up."""

    account: str
    salt: bytes
    iterations: int
    stored_key: bytes
    server_key: bytes

    def __str__(self) -> str:
        parts = (self.salt, self.stored_key, self.server_key)
        return f"{_SCRAM_PREFIX}{self.iterations}," + ",".join(base64.b64encode(part).decode() for part in parts)


def hash_password(password: str, scheme: Scheme = "ARGON2ID") -> str:
    """The verifier to keep for ``password``."""
    if scheme == "ARGON2ID":
        return _ARGON2_PREFIX + _ARGON2.hash(password)
    return str(derive(password, secrets.token_bytes(16), SCRAM_ITERATIONS))


def check_password(verifier: str, password: str) -> bool:
    """Whether ``password`` is the one. Raises SyntaxInvalid for a verifier in no known form."""
    if is_scram(verifier):
        kept = parse_scram(verifier)
        return hmac.compare_digest(derive(password, kept.salt, kept.iterations).stored_key, kept.stored_key)
    if not verifier[: len(_ARGON2_PREFIX)].upper() == _ARGON2_PREFIX:
        raise SyntaxInvalid("a verifier begins with {ARGON2ID} or {SCRAM-SHA-256}")
    try:
        return _ARGON2.verify(verifier[len(_ARGON2_PREFIX) :], password)
    except VerifyMismatchError:
        return False
    except (InvalidHashError, VerificationError):
        raise SyntaxInvalid("not an Argon2 hash") from None


def is_scram(verifier: str) -> bool:
    return verifier[: len(_SCRAM_PREFIX)].upper() == _SCRAM_PREFIX


def parse_scram(verifier: str, account: str = "") -> ScramVerifier:
    """The parts of a {SCRAM-SHA-256} verifier. Raises SyntaxInvalid."""
    match = _SCRAM.fullmatch(verifier[len(_SCRAM_PREFIX) :])
    if not is_scram(verifier) or not match:
        raise SyntaxInvalid("a SCRAM verifier is iterations,salt,StoredKey,ServerKey")
    try:
        salt, stored_key, server_key = (base64.b64decode(part, validate=True) for part in match.groups()[1:])
    except binascii.Error:
        raise SyntaxInvalid("a SCRAM verifier's parts are base64") from None
    if len(stored_key) != 32 or len(server_key) != 32:
        raise SyntaxInvalid("the keys of SCRAM-SHA-256 have 32 octets")
    return ScramVerifier(account, salt, int(match[1]), stored_key, server_key)


def derive(password: str, salt: bytes, iterations: int, account: str = "") -> ScramVerifier:
    """RFC 5802 §3."""
    salted = hashlib.pbkdf2_hmac("sha256", saslprep(password).encode(), salt, iterations)
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    server_key = hmac.digest(salted, b"Server Key", "sha256")
    return ScramVerifier(account, salt, iterations, hashlib.sha256(client_key).digest(), server_key)


def saslprep(text: str) -> str:
    """RFC 4013 as far as it maps: exotic spaces become spaces, soft hyphens and the like go, the rest is NFKC."""
    if text.isascii():
        return text
    mapped = ("" if stringprep.in_table_b1(c) else " " if stringprep.in_table_c12(c) else c for c in text)
    return unicodedata.normalize("NFKC", "".join(mapped))
