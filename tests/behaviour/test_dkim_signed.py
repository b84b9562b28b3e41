"""What a member sends leaves signed for its domain, and verifies as the partner's server got it."""

from __future__ import annotations

import base64
from pathlib import Path

import dkim
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from tests.kit import mail
from tests.kit.daemon import RelayProcess
from tests.kit.sink import Sink
from tests.kit.site import Site
from tests.kit.talk import ANNA, say

pytestmark = pytest.mark.behaviour


def test_both_signatures_verify_at_the_partner(tmp_path: Path) -> None:
    site = Site(tmp_path)
    records = {}
    entries = []
    for selector, key in (("r", rsa.generate_private_key(65537, 2048)), ("e", ed25519.Ed25519PrivateKey.generate())):
        file = tmp_path / f"{selector}.pem"
        file.touch(mode=0o600)
        file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        entries.append({"selector": selector, "key_file": str(file)})
        if isinstance(key, rsa.RSAPrivateKey):
            public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
            records[selector] = b"v=DKIM1; k=rsa; p=" + base64.b64encode(public)
        else:
            public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
            records[selector] = b"v=DKIM1; k=ed25519; p=" + base64.b64encode(public)
    site.organisations["organisations"]["praktijk"]["dkim"] = {"praktijk.example": entries}
    content = mail.message(ANNA, ["collega@partner.example"])
    with (
        Sink(tmp_path / "partner", site.partner, port=site.partner_port) as partner,
        RelayProcess(site) as relayd,
    ):
        with relayd.submission(ANNA) as client:
            assert say(client, ANNA, ["collega@partner.example"], content)[0] == 250
        arrived = partner.content(partner.wait_for_receipt(mail.message_id_of(content)))

    def lookup(name: bytes, timeout: float = 5) -> bytes | None:
        selector, _, domain = name.rstrip(b".").partition(b"._domainkey.")
        return records.get(selector.decode()) if domain == b"praktijk.example" else None

    verifier = dkim.DKIM(arrived)
    assert [verifier.verify(idx=index, dnsfunc=lookup) for index in (0, 1)] == [True, True]
