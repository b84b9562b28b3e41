"""Fields that join a mail of ours to a thread."""

from __future__ import annotations

from email.message import EmailMessage

import pytest

from relayd.mail.composing import POLICY, UTF8_POLICY, message_ids

LONG = "<AM9PR08MB6123A1B2C3D4E5F6A7B8C9D0E1F2A3B4C5D6@AM9PR08MB6123.eurprd08.prod.outlook.com>"


@pytest.mark.parametrize("policy", [POLICY, UTF8_POLICY])
@pytest.mark.parametrize("name", ["In-Reply-To", "References"])
def test_an_id_is_never_broken_or_encoded(policy, name):
    mail = EmailMessage(policy=policy)
    mail[name] = f"{LONG} <short@x.example> {LONG}"
    assert mail.as_bytes() == f"{name}: {LONG}\r\n <short@x.example>\r\n {LONG}\r\n\r\n".encode()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("<a@x> (comment) <b@x>", ["<a@x>", "<b@x>"]),
        ("", []),
        ("no id at all", []),
        ("<a b@x>", []),
        ("<é@x>", []),
        ("<<a@x>>", ["<a@x>"]),
        (f"<{'a' * 901}>", []),
    ],
)
def test_what_counts_as_an_id(text, found):
    assert message_ids(text) == found
