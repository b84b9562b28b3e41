"""What a hostile sender puts into a message, and what it does to the machine that shows it."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from relayd.mail.meta import HeaderPatch, MessageMeta
from relayd.mail.mime import MimeScanner


def bring(monkeypatch, content):
    """Let the next deposit be of this message."""
    content = content.replace(b"\n", b"\r\n")
    scanner = MimeScanner()
    scanner.feed(content)
    meta = MessageMeta(head_length=content.index(b"\r\n\r\n") + 2, parts=scanner.finish(), copies=(HeaderPatch(),))
    monkeypatch.setattr("tests.kit.viewer.make_mail", lambda: (content, meta))


async def read(site):
    person = site.person()
    await person.read(await site.deposit(), site.phone)
    return person


@pytest.mark.parametrize(
    "charset",
    ["idna", "punycode", "undefined", "unicode_escape", "utf-7", "rot13", "zip", "x" * 500, "utf-16", "uu", "\\"],
)
@pytest.mark.parametrize("kind", ["plain", "html"])
async def test_no_charset_is_a_defect_or_leads_around_a_wall(site, monkeypatch, charset, kind):
    words = rb"a-\ud800 +2AA- +ADw-script+AD4- \x3cscript\x3e xn--a"
    bring(
        monkeypatch, f"From: d@zuid.example\nContent-Type: text/{kind}; charset={charset}\n\n".encode() + words + b"\n"
    )
    with capture_logs() as logs:
        person = await read(site)
        for view in ("body", "body?as=text", "print"):
            page = await person.get(f"{person.base}/{view}")
            assert page.status_code == 200
            assert "<script" not in page.text
    assert "viewer.defect" not in str(logs)
