"""Message keys: a random key per message, wrapped by its epoch's key, from which each sealed part gets its own.

A wrapped key is ``1 | epoch key's id (8) | nonce (12) | AES-256-GCM(key) (48) | commitment (32)``. The commitment is
HKDF of the message key: GCM alone would let one ciphertext open under two keys.

Of a message that needs a password it is ``2 | …`` with ``salt (16) | nonce (12) | AES-256-GCM(key) (48)`` in place of
the key, sealed under argon2id of the password: both the epoch's key and the password are needed.
"""

from __future__ import annotations

import hmac
import os
from typing import Final

from argon2.low_level import Type, hash_secret_raw
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from relayd.errors import KeyDestroyed, KeyUnavailable, PasswordNeeded, SealBroken
from relayd.vault.epochs import EpochKey, EpochKeys
from relayd.vault.keyring import NONCE, Keyring
from relayd.vault.sealing import Opener, Sealer, pack, seal, unseal

_FORMAT: Final = b"\x01"
_VERSION: Final = "relayd 1"
_WRAPPED: Final = 1 + 8 + NONCE + 48 + 32
_PROTECTED: Final = b"\x02"
_SALT: Final = 16
_BOX: Final = _SALT + NONCE + 48
#: What argon2id costs, by OWASP's second choice (ASVS 5.0 appendix C): passes, KiB, lanes.
_ARGON2: Final = (2, 19 * 1024, 1)


class MessageKey:
    """The key of one message. ``part`` names what is sealed ("body", "meta", …) and is bound into it."""

    __slots__ = ("_secret", "epoch", "message_id", "organisation", "wrapped")

    def __init__(self, organisation: str, epoch: str, message_id: str, secret: bytes, wrapped: bytes) -> None:
        self.organisation = organisation
        self.epoch = epoch
        self.message_id = message_id
        self.wrapped = wrapped
        self._secret = secret

    def __repr__(self) -> str:
        return f"MessageKey({self.organisation!r}, {self.epoch!r}, {self.message_id!r})"

    def seal(self, part: str, data: bytes) -> bytes:
        return seal(self._secret, self._associated(part), data)

    def unseal(self, part: str, sealed: bytes) -> bytes:
        """Raises SealBroken unless ``sealed`` is this part of this message, unaltered."""
        return unseal(self._secret, self._associated(part), sealed)

    def for_holder(self, token: str) -> bytes:
        """This key, sealed for whoever shows ``token`` (256 random bits, such as a session's cookie)."""
        nonce = os.urandom(NONCE)
        return nonce + AESGCM(_holder_key(token)).encrypt(nonce, self._secret, self._associated("holder"))

    @classmethod
    def of_holder(
        cls, organisation: str, epoch: str, message_id: str, wrapped: bytes, sealed: bytes, token: str
    ) -> MessageKey:
        """The key that :meth:`for_holder` sealed. Raises SealBroken for another token or message."""
        associated = pack(_VERSION, organisation, message_id, "holder")
        try:
            secret = AESGCM(_holder_key(token)).decrypt(sealed[:NONCE], sealed[NONCE:], associated)
        except (InvalidTag, ValueError) as error:
            raise SealBroken("a session's key was altered, or is another session's") from error
        return cls(organisation, epoch, message_id, secret, wrapped)

    def sealer(self, part: str) -> Sealer:
        return Sealer(self._secret, self._associated(part))

    def opener(self, part: str, header: bytes, length: int) -> Opener:
        """An opener for ``length`` sealed octets that begin with the 40 of ``header``."""
        return Opener(self._secret, self._associated(part), header, length)

    def _associated(self, part: str) -> bytes:
        return pack(_VERSION, self.organisation, self.message_id, part)


class Vault:
    """Makes and opens message keys, and seals short-lived values."""

    def __init__(self, keyring: Keyring, epochs: EpochKeys) -> None:
        self._keyring = keyring
        self.epochs = epochs

    def new(self, organisation: str, epoch: str, message_id: str) -> MessageKey:
        """A fresh key for a message. Its epoch's key is durable when this returns."""
        key = self.epochs.key(organisation, epoch)
        secret = os.urandom(32)
        nonce = os.urandom(NONCE)
        context = pack(_VERSION, organisation, epoch, message_id)
        boxed = AESGCM(key.secret).encrypt(nonce, secret, context)
        wrapped = _FORMAT + key.id + nonce + boxed + _commitment(secret)
        return MessageKey(organisation, epoch, message_id, secret, wrapped)

    def open(self, organisation: str, epoch: str, message_id: str, wrapped: bytes) -> MessageKey:
        """The key of a stored message; KeyDestroyed when it or its epoch's key is gone."""
        if not wrapped:
            raise KeyDestroyed(f"the key of message {message_id} was destroyed on its retention day")
        if wrapped[:1] == _PROTECTED:
            raise PasswordNeeded(f"message {message_id} opens with its reader's password only")
        key = self.epochs.existing(organisation, epoch)
        secret = _unwrap(key, organisation, epoch, message_id, wrapped)
        return MessageKey(organisation, epoch, message_id, secret, wrapped)

    def protect(self, organisation: str, epoch: str, message_id: str, password: str) -> MessageKey:
        """A fresh key for a message that opens with ``password`` only. Takes some 30 ms and 19 MiB."""
        epoch_key = self.epochs.key(organisation, epoch)
        secret, salt, inner, nonce = os.urandom(32), os.urandom(_SALT), os.urandom(NONCE), os.urandom(NONCE)
        context = pack(_VERSION, organisation, epoch, message_id)
        box = salt + inner + AESGCM(_stretched(password, salt)).encrypt(inner, secret, context)
        boxed = AESGCM(epoch_key.secret).encrypt(nonce, box, context)
        wrapped = _PROTECTED + epoch_key.id + nonce + boxed + _commitment(secret)
        return MessageKey(organisation, epoch, message_id, secret, wrapped)

    def open_with(
        self, organisation: str, epoch: str, message_id: str, wrapped: bytes, password: str
    ) -> MessageKey | None:
        """The key of a message that needs a password; None when it is another one. As slow as :meth:`protect`."""
        if not wrapped:
            raise KeyDestroyed(f"the key of message {message_id} was destroyed on its retention day")
        box, commitment, context = self._box(organisation, epoch, message_id, wrapped)
        salt, inner, sealed = box[:_SALT], box[_SALT : _SALT + NONCE], box[_SALT + NONCE :]
        try:
            secret = AESGCM(_stretched(password, salt)).decrypt(inner, sealed, context)
        except InvalidTag:
            return None
        if not hmac.compare_digest(_commitment(secret), commitment):
            raise SealBroken("a wrapped message key doesn't match its commitment")
        return MessageKey(organisation, epoch, message_id, secret, wrapped)

    def _box(self, organisation: str, epoch: str, message_id: str, wrapped: bytes) -> tuple[bytes, bytes, bytes]:
        key = self.epochs.existing(organisation, epoch)
        if len(wrapped) != 1 + 8 + NONCE + _BOX + 16 + 32 or wrapped[:1] != _PROTECTED:
            raise SealBroken("a wrapped message key has an unknown format")
        identity, nonce, boxed, commitment = wrapped[1:9], wrapped[9:21], wrapped[21:-32], wrapped[-32:]
        if identity != key.id:
            raise KeyUnavailable(f"message {message_id} was sealed under another epoch key")
        context = pack(_VERSION, organisation, epoch, message_id)
        try:
            return AESGCM(key.secret).decrypt(nonce, boxed, context), commitment, context
        except InvalidTag as error:
            raise SealBroken("a wrapped message key was altered, or belongs to another message") from error

    def seal_value(self, purpose: str, data: bytes) -> bytes:
        """Seal a short-lived secret (an access code) that belongs to no epoch. ``purpose`` must match on opening."""
        root, boxed = self._keyring.wrap(f"value {purpose}", b"", data)
        return pack(root, boxed)

    def unseal_value(self, purpose: str, sealed: bytes) -> bytes:
        size = int.from_bytes(sealed[:4], "big")
        try:
            root = sealed[4 : 4 + size].decode()
        except UnicodeDecodeError as error:
            raise SealBroken("a sealed value was altered") from error
        return self._keyring.unwrap(root, f"value {purpose}", b"", sealed[8 + size :])


def _commitment(secret: bytes) -> bytes:
    return HKDFExpand(SHA256(), 32, b"relayd commitment").derive(secret)


def _stretched(password: str, salt: bytes) -> bytes:
    passes, memory, lanes = _ARGON2
    return hash_secret_raw(password.encode(), salt, passes, memory, lanes, 32, Type.ID)


def _holder_key(token: str) -> bytes:
    # The token is uniformly random already: expanding it suffices (RFC 5869 §3.3).
    return HKDFExpand(SHA256(), 32, b"relayd holder").derive(token.encode())


def _unwrap(key: EpochKey, organisation: str, epoch: str, message_id: str, wrapped: bytes) -> bytes:
    if len(wrapped) != _WRAPPED or wrapped[:1] != _FORMAT:
        raise SealBroken("a wrapped message key has an unknown format")
    identity, nonce, boxed, commitment = wrapped[1:9], wrapped[9:21], wrapped[21:69], wrapped[69:]
    if identity != key.id:
        raise KeyUnavailable(f"message {message_id} was sealed under epoch key {identity.hex()}, not {key.id.hex()}")
    try:
        secret = AESGCM(key.secret).decrypt(nonce, boxed, pack(_VERSION, organisation, epoch, message_id))
    except InvalidTag as error:
        raise SealBroken("a wrapped message key was altered, or belongs to another message") from error
    if not hmac.compare_digest(_commitment(secret), commitment):
        raise SealBroken("a wrapped message key doesn't match its commitment")
    return secret
