"""Test vectors that only source packages carry; ``scripts/vectors`` fetches these."""

from __future__ import annotations

import tarfile
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[2] / ".venv" / "vectors"


@cache
def vectors(path: str) -> bytes | None:
    """A file out of a source package, by ``package-version/path``; None where the package isn't here."""
    archive = FOLDER / f"{path.partition('/')[0]}.tar.gz"
    if not archive.exists():
        return None
    with tarfile.open(archive) as packed:
        member = packed.extractfile(path)
        assert member is not None, f"{archive.name} has no {path}"
        return member.read()
