"""The root keys: what wraps the epoch keys. One file, ``root.json`` in the keys folder, readable by relayd alone.

::

    {"version": 1, "roots": [{"id": "r3f9c1a2b", "state": "primary", "key": "<base64, 32 octets>"}, ...]}

Exactly one root is ``primary`` and wraps what is new. ``decrypt-only`` ones still open what they once wrapped. Every
wrapped thing names its root, so none is ever tried on suspicion.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final, Literal

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from relayd.errors import KeyUnavailable, SealBroken
from relayd.vault.files import create_private, make_private_folder, read_private
from relayd.vault.sealing import pack

FILE: Final = "root.json"
NONCE: Final = 12


class Root(msgspec.Struct, frozen=True):
    """One root key as the file has it."""

    id: str
    state: Literal["primary", "decrypt-only"]
    key: bytes

    def __repr__(self) -> str:
        return f"Root(id={self.id!r}, state={self.state!r})"


class _File(msgspec.Struct, frozen=True):
    version: Literal[1]
    roots: list[Root]

    def __repr__(self) -> str:
        return f"_File(roots={self.roots!r})"


class Keyring:
    """The root keys in memory."""

    def __init__(self, roots: list[Root]) -> None:
        self._roots = {root.id: root for root in roots}
        primaries = [root for root in roots if root.state == "primary"]
        if len(primaries) != 1:
            raise KeyUnavailable(f"the keyring has {len(primaries)} primary roots; exactly one is needed")
        if len(self._roots) != len(roots):
            raise KeyUnavailable("two roots of the keyring have the same id")
        if any(len(root.key) != 32 for root in roots):
            raise KeyUnavailable("a root key of the keyring isn't 32 octets long")
        self.primary = primaries[0].id

    @classmethod
    def load(cls, folder: Path) -> Keyring:
        """Read ``root.json`` in ``folder``; KeyUnavailable says what is wrong with it."""
        path = folder / FILE
        try:
            data = read_private(path)
        except FileNotFoundError:
            raise KeyUnavailable(f"{path} doesn't exist; make it with: relayd keys generate") from None
        try:
            return cls(msgspec.json.decode(data, type=_File).roots)
        except msgspec.MsgspecError as error:
            raise KeyUnavailable(f"{path}: {error}") from None

    def wrap(self, purpose: str, context: bytes, secret: bytes) -> tuple[str, bytes]:
        """Encrypt ``secret`` for ``purpose`` under the primary root: the root's id and the wrapped octets."""
        nonce = os.urandom(NONCE)
        return self.primary, nonce + self._cipher(self.primary, purpose).encrypt(nonce, secret, context)

    def unwrap(self, root: str, purpose: str, context: bytes, wrapped: bytes) -> bytes:
        """What was wrapped under ``root``. KeyUnavailable without that root, SealBroken when it doesn't match."""
        try:
            return self._cipher(root, purpose).decrypt(wrapped[:NONCE], wrapped[NONCE:], context)
        except (InvalidTag, ValueError) as error:
            raise SealBroken("a wrapped key or value was altered, or belongs elsewhere") from error

    def _cipher(self, root: str, purpose: str) -> AESGCM:
        if root not in self._roots:
            raise KeyUnavailable(f"the keyring has no root {root}")
        return AESGCM(HKDFExpand(SHA256(), 32, pack("relayd root 1", purpose)).derive(self._roots[root].key))


def generate(folder: Path) -> Keyring:
    """Make a keyring with one fresh root. Raises FileExistsError rather than replace one: that would lose mail."""
    make_private_folder(folder)
    root = Root(f"r{os.urandom(4).hex()}", "primary", os.urandom(32))
    text = msgspec.json.format(msgspec.json.encode(_File(1, [root])), indent=2)
    if not create_private(folder / FILE, text + b"\n"):
        raise FileExistsError(f"{folder / FILE} exists")
    return Keyring.load(folder)
