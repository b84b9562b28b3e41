"""Hosted mailboxes as we advise them: LMTP to Dovecot, which people read by IMAP with the password of submission."""

from __future__ import annotations

import pytest

from tests.kit import mail
from tests.kit.daemon import RelayProcess
from tests.kit.dovecot import Dovecot, missing
from tests.kit.site import Site
from tests.kit.talk import ANNA, BRAM, say
from tests.kit.wait import wait_for

pytestmark = [pytest.mark.behaviour, pytest.mark.skipif(bool(missing()), reason=missing() or "all there")]
CANARY = "Kanarie-7c1f"


def test_submitted_mail_is_encrypted_in_the_mailbox_and_read_by_imap(tmp_path):
    site = Site(tmp_path)
    site.write()
    # One accounts file for both: what opens the submission port opens the mailbox.
    with Dovecot((site.config / "accounts").read_text()) as dovecot:
        site.relayd["mailboxes"]["hosted"] = {"lmtp": f"unix:{dovecot.lmtp}"}
        content = mail.message(ANNA, [BRAM], f"Overdracht {CANARY}", f"{CANARY}\n" * 100)
        with RelayProcess(site) as relayd:
            with relayd.submission(ANNA) as client:
                assert say(client, ANNA, [BRAM], content)[0] == 250
            received = wait_for(lambda: dovecot.messages(BRAM, site.accounts[BRAM]), "mail in the inbox")
        assert len(received) == 1
        assert received[0].endswith(content.partition(b"\r\n\r\n")[2])
        assert f"Subject: Overdracht {CANARY}".encode() in received[0]
        assert dovecot.files
        assert not [path for path in dovecot.files if CANARY.encode() in path.read_bytes()]
