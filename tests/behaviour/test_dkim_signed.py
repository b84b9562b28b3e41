"""What a member sends leaves signed for its domain, and verifies as the partner's server got it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import dkim
import pytest

from tests.kit import mail
from tests.kit.daemon import RELAYD, RelayProcess
from tests.kit.sink import Sink
from tests.kit.site import Site
from tests.kit.talk import ANNA, say

pytestmark = pytest.mark.behaviour


def relayd_command(*words: str) -> str:
    return subprocess.run([RELAYD, *words], check=True, capture_output=True, text=True).stdout


def test_both_signatures_verify_at_the_partner(tmp_path: Path) -> None:
    site = Site(tmp_path)
    config = str(site.write())
    relayd_command("keys", "generate", "--config", config)
    made = json.loads(relayd_command("dkim", "create", "praktijk.example", "--activate", "--json", "--config", config))
    records = {one["name"]: one["text"].encode() for one in made["records"]}
    content = mail.message(ANNA, ["collega@partner.example"])
    with (
        Sink(tmp_path / "partner", site.partner, port=site.partner_port) as partner,
        RelayProcess(site) as relayd,
    ):
        with relayd.submission(ANNA) as client:
            assert say(client, ANNA, ["collega@partner.example"], content)[0] == 250
        arrived = partner.content(partner.wait_for_receipt(mail.message_id_of(content)))

    def lookup(name: bytes, timeout: float = 5) -> bytes | None:
        return records.get(name.rstrip(b".").decode())

    verifier = dkim.DKIM(arrived)
    assert [verifier.verify(idx=index, dnsfunc=lookup) for index in (0, 1)] == [True, True]
