"""Mail of our own is signed for the domain it comes from, whole messages behind a report included."""

from __future__ import annotations

import base64
from pathlib import Path

import dkim
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from relayd.authenticity.dkim_sign import Signer
from relayd.directory.directory import Directory
from relayd.mail.address import Domain
from relayd.mail.patch import PatchedBody
from relayd.queue.attempt import SealedContents
from relayd.queue.composer import Composer
from tests.kit.judging import MemoryBody
from tests.kit.lanes import Site, open_site

OURS = Domain("relay.example")
HEAD = b"From: postmaster@relay.example\r\nSubject: a notice\r\nMIME-Version: 1.0\r\n"
KEY = Ed25519PrivateKey.generate()


def lookup(name: bytes, timeout: int = 5) -> bytes | None:
    raw = KEY.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    record = b"v=DKIM1; k=ed25519; p=" + base64.b64encode(raw)
    return record if name == b"s._domainkey.relay.example." else None


async def composed(site: Site, content: bytes, *, body: bytes | None = None, after: bytes = b"") -> bytes:
    """What a composed message looks like as it leaves."""
    site.clock.at = 1_700_000_000.0  # dkimpy takes no signature from the future
    signers = {OURS: (Signer(OURS, "s", KEY),)}
    directory = Directory({}, {}, {}, {}, {})
    composer = Composer(site.vault, site.blobs, lambda: directory, site.clock, 90, lambda: signers)
    message = await composer.compose(
        organisation="hospital",
        recipient="a@hospital.example",
        content=content,
        parent="m1",
        body=None if body is None else MemoryBody(body),
        after=after,
    )
    sealed, meta = SealedContents(site.vault, site.blobs).open(message, None)
    return b"".join([block async for block in PatchedBody(sealed, meta.copies[0]).blocks()])


@pytest.mark.parametrize(
    ("text", "body", "after"),
    [
        pytest.param(b"Hello\r\n", None, b"", id="a notice"),
        pytest.param(b"", None, b"", id="nothing but a header"),
        pytest.param(b"--b\r\n\r\n", b"From: x@y\r\n\r\n" + b"z\r\n" * 400_000, b"\r\n--b--\r\n", id="a full report"),
    ],
)
async def test_mail_of_our_own_verifies(tmp_path: Path, text: bytes, body: bytes | None, after: bytes) -> None:
    async with open_site(tmp_path, Directory({}, {}, {}, {}, {})) as site:
        sent = await composed(site, HEAD + b"\r\n" + text, body=body, after=after)
    assert sent.endswith(HEAD + b"\r\n" + text + (body or b"") + after)
    assert dkim.verify(sent, dnsfunc=lookup)


async def test_a_notice_of_a_domain_without_keys_leaves_unsigned(tmp_path: Path) -> None:
    async with open_site(tmp_path, Directory({}, {}, {}, {}, {})) as site:
        content = HEAD.replace(b"relay.example", b"other.example") + b"\r\nHello\r\n"
        assert await composed(site, content) == content
