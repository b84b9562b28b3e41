"""DKIM keys at rest: one file per domain in the keys folder, each private key sealed under the root key.

``<keys>/dkim/<domain>.json`` is replaced as a whole, under a lock on the folder, so that a reader sees the keys before
or after a change and two commands don't undo each other's.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
)

from relayd.authenticity.dkim_keys import DomainKeys, KeySet, StoredKey
from relayd.authenticity.dkim_sign import Signer
from relayd.errors import ConfigurationError, KeyUnavailable, Problem, SealBroken, SyntaxInvalid, VaultError
from relayd.mail.address import Domain, normalise_domain
from relayd.vault.files import make_private_folder, read_private, replace_private
from relayd.vault.keyring import Keyring
from relayd.vault.sealing import pack

_FOLDER: Final = "dkim"
_PURPOSE: Final = "dkim key"
_RSA_BITS: Final = 2048  # RFC 8301 §3.2; docs/decisions/058-dkim-keys.md


class DkimKeyFiles:
    """The files under ``keys``, the keys folder. Nothing is made before the first key is."""

    def __init__(self, keys: Path) -> None:
        self._keys = keys
        self._folder = keys / _FOLDER

    def domains(self) -> list[Domain]:
        """The domains that have keys."""
        return sorted(Domain(path.stem) for path in self._folder.glob("[!.]*.json"))

    def read(self, domain: Domain) -> DomainKeys:
        """The domain's keys; without any sets where it has none. Raises KeyUnavailable."""
        path = self._path(domain)
        try:
            data = read_private(path)
        except FileNotFoundError:
            return DomainKeys(domain)
        try:
            found = msgspec.json.decode(data, type=DomainKeys)
        except msgspec.MsgspecError as error:
            raise KeyUnavailable(f"{path}: {error}") from None
        if found.domain != domain:
            raise KeyUnavailable(f"{path} holds the keys of another domain")
        return found

    def change(self, domain: Domain, step: Callable[[DomainKeys], DomainKeys]) -> DomainKeys:
        """Put ``step`` of the domain's keys in their place, durably. What ``step`` raises changes nothing."""
        try:
            if os.stat(self._keys).st_uid != os.geteuid():
                # What root writes the daemon can't read, and wouldn't start.
                raise KeyUnavailable(f"{self._keys} is another user's; run this as the user that relayd runs as")
            make_private_folder(self._folder)
            with self._locked():
                changed = step(self.read(domain))
                replace_private(self._path(domain), msgspec.json.format(msgspec.json.encode(changed)))
        except OSError as error:
            raise KeyUnavailable(f"{self._folder}: {error.strerror}") from error
        return changed

    def _path(self, domain: Domain) -> Path:
        return self._folder / f"{domain}.json"

    @contextmanager
    def _locked(self) -> Iterator[None]:
        descriptor = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def make_set(keyring: Keyring, domain: Domain, selector: str, now: float) -> KeySet:
    """A fresh set: RSA-2048 and Ed25519, with the selectors ``<selector>-rsa`` and ``<selector>-ed25519``."""
    rsa, ed25519 = generate_private_key(65537, _RSA_BITS), Ed25519PrivateKey.generate()
    spki = rsa.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    bare = ed25519.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    keys = (
        _seal(keyring, domain, StoredKey("rsa", f"{selector}-rsa", spki, "", b""), rsa),
        _seal(keyring, domain, StoredKey("ed25519", f"{selector}-ed25519", bare, "", b""), ed25519),
    )
    return KeySet(selector, now, keys)


def _seal(keyring: Keyring, domain: Domain, key: StoredKey, private: RSAPrivateKey | Ed25519PrivateKey) -> StoredKey:
    secret = private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    root, wrapped = keyring.wrap(_PURPOSE, _context(domain, key), secret)
    return msgspec.structs.replace(key, root=root, wrapped=wrapped)


def open_signers(keyring: Keyring, keys: DomainKeys) -> tuple[Signer, ...]:
    """Signers with the keys that sign now. Raises VaultError."""
    domain = Domain(keys.domain)
    return tuple(_signer(keyring, domain, key) for key in (keys.signing.keys if keys.signing else ()))


def _signer(keyring: Keyring, domain: Domain, key: StoredKey) -> Signer:
    secret = keyring.unwrap(key.root, _PURPOSE, _context(domain, key), key.wrapped)
    # What the seal vouches for was made here: checking an RSA key's primes again takes longer than all the rest.
    private = load_der_private_key(secret, None, unsafe_skip_rsa_key_validation=True)
    if not isinstance(private, RSAPrivateKey | Ed25519PrivateKey):
        raise SealBroken(f"the DKIM key {key.selector} of {domain} is of another kind")
    return Signer(domain, key.selector, private)


def _context(domain: Domain, key: StoredKey) -> bytes:
    return pack(domain, key.selector, key.algorithm)


def load_signers(keys: Path) -> Mapping[Domain, tuple[Signer, ...]]:
    """Every domain's signers. Raises ConfigurationError that names each file that can't be used."""
    files = DkimKeyFiles(keys)
    domains = files.domains()
    if not domains:
        return {}
    signers: dict[Domain, tuple[Signer, ...]] = {}
    problems = []
    try:
        keyring = Keyring.load(keys)
    except VaultError as error:
        raise ConfigurationError([Problem(keys, None, "dkim", str(error))]) from error
    for domain in domains:
        try:
            signers[domain] = open_signers(keyring, files.read(normalise_domain(domain)))
        except (VaultError, SyntaxInvalid) as error:
            problems.append(Problem(keys / _FOLDER / f"{domain}.json", None, "dkim", str(error)))
    if problems:
        raise ConfigurationError(problems)
    return signers
