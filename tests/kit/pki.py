"""A private authority with files: the certificates that servers of a test show, and the TLSA records that fit them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.kit.chains import Made, make, with_sha1


@dataclass(frozen=True)
class Issued:
    """A certificate with its key. ``chain`` is a PEM file of what a server sends, ``key_file`` the key's."""

    made: Made
    chain: Path
    key_file: Path

    @property
    def certificate(self) -> x509.Certificate:
        return self.made.certificate

    def tlsa(self, usage: int, selector: int, matching: int) -> str:
        """A TLSA record's data that this certificate matches, for a zone."""
        return str(self.made.tlsa(usage, selector, matching))


class Pki:
    """A root, an intermediate under it, and whatever leaves a test wants."""

    def __init__(self, folder: Path, name: str = "test") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self.root = self._written(make(f"{name}-root", ca=True))
        # With an RSA key, since that is what can still sign over SHA-1.
        key = rsa.generate_private_key(65537, 2048)
        self.intermediate = self._written(make(f"{name}-intermediate", self.root.made, ca=True, key=key))

    def self_signed(self, file: str, *names: str, started: int = 1, days: int = 30, bits: int = 0) -> Issued:
        """A certificate that nobody vouches for. ``started`` days ago, good for ``days``; RSA of ``bits``, or P-256."""
        return self._written(_leaf(file, names, None, started, days, bits))

    def leaf(
        self, file: str, *names: str, sent: Sequence[Issued] = (), started: int = 1, days: int = 30, bits: int = 0
    ) -> Issued:
        """A server's certificate under the intermediate; ``sent`` are what the server sends behind it."""
        return self._written(_leaf(file, names, self.intermediate.made, started, days, bits), sent)

    def signed_with_sha1(self, file: str, name: str, sent: Sequence[Issued]) -> Issued:
        """A leaf that nothing of today would sign so."""
        by = self.intermediate.made
        return self._written(with_sha1(_leaf(file, (name,), by, 1, 30, 0), by), sent)

    def _written(self, made: Made, sent: Sequence[Issued] = ()) -> Issued:
        return Issued(made, *made.write(self._folder, *(one.made for one in sent)))


def _leaf(file: str, names: Sequence[str], by: Made | None, started: int, days: int, bits: int) -> Made:
    key = rsa.generate_private_key(65537, bits) if bits else None
    return make(file, by, names=names, ca=False, key=key, starts=-started, days=days)
