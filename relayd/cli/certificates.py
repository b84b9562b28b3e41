"""Our own certificates against the TLS guideline, for ``check``, ``doctor`` and ``tls-profile``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509

from relayd.settings.models import Configuration
from relayd.tls import guideline
from relayd.tls.guideline import Judged


@dataclass(frozen=True, slots=True)
class Shown:
    """One key or signature of a certificate that we show. ``key`` is the section that names its file."""

    key: str
    file: Path
    judged: Judged


def shown(configuration: Configuration) -> Iterator[Shown]:
    """All of them. A file that can't be read is somebody else's finding."""
    for key, file in (("tls", configuration.tls.certificate), ("viewer", configuration.viewer.certificate)):
        if file is None:
            continue
        try:
            chain = x509.load_pem_x509_certificates(file.read_bytes())
        except (OSError, ValueError):
            continue
        yield from (Shown(key, file, judged) for judged in guideline.certificate(chain))
