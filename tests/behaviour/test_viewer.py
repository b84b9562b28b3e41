"""Somebody outside reads: notification, link, code by SMS, message; and nobody else does."""

from __future__ import annotations

import json
import re

import pytest

from tests.kit import mail
from tests.kit.browser import Browser
from tests.kit.talk import DOCTOR, say
from tests.kit.wait import wait_for

pytestmark = pytest.mark.behaviour
MOBILE = "+31612345678"
SECRET = "De uitslag is goed."


def send(stage, address: str, **more) -> str:
    """Send to an outsider; returns the link of the notification."""
    content = mail.message(
        DOCTOR, [address], "Vertrouwelijk", SECRET, headers={"X-Relayd-Mobile": f"{address}; {MOBILE}"}, **more
    )
    with stage.relayd.hospital() as client:
        assert say(client, DOCTOR, [address], content)[0] == 250
    notice = stage.partner.content(stage.partner.wait_for_receipt(address)).decode()
    assert SECRET not in notice
    assert MOBILE not in notice
    assert "Vertrouwelijk" not in notice
    unfolded = notice.replace("=\r\n", "").replace("=3D", "=")
    found = re.search(rf"{re.escape(stage.site.viewer_url)}/[\w/-]+", unfolded)
    assert found, notice
    return found[0]


def sms_count(stage) -> int:
    return len(stage.site.sms.read_text().splitlines()) if stage.site.sms.exists() else 0


def last_code(stage, after: int) -> str:
    wait_for(lambda: sms_count(stage) > after, "an SMS")
    sms = json.loads(stage.site.sms.read_text().splitlines()[-1])
    assert sms["number"] == MOBILE
    found = re.search(r"\b\d{3} ?\d{3}\b", sms["text"])
    assert found, sms["text"]
    return found[0]


def code_form(browser):
    return next(form for form in browser.forms if "code" in form.open_fields)


def test_the_right_code_shows_the_message(stage):
    link = send(stage, "patient1@outside.example", attachments={"brief.pdf": b"%PDF-1.4 not much of one"})
    before = sms_count(stage)
    with Browser() as browser:
        browser.open(link)
        assert SECRET not in browser.response.text
        browser.submit(browser.forms[0])
        browser.submit(code_form(browser), code=last_code(stage, before))
        page = browser.response.text
        assert "brief.pdf" in page
        downloads = [url for url in browser.links if "/a/" in url or "part" in url or "download" in url]
        frames = [browser.open(frame).text for frame in browser.frames]
        assert any(SECRET in text for text in [page, *frames])
        assert downloads


def test_opening_the_link_sends_no_sms_and_uses_nothing_up(stage):
    link = send(stage, "patient2@outside.example")
    before = sms_count(stage)
    for _ in range(3):
        with Browser() as scanner:
            scanner.open(link)
            assert scanner.response.status_code == 200
    assert sms_count(stage) == before


def test_a_wrong_code_shows_nothing(stage):
    link = send(stage, "patient3@outside.example")
    before = sms_count(stage)
    with Browser() as browser:
        browser.open(link)
        browser.submit(browser.forms[0])
        right = last_code(stage, before)
        wrong = f"{(int(right.replace(' ', '')) + 1) % 1_000_000:06d}"
        browser.submit(code_form(browser), code=wrong)
        assert SECRET not in browser.response.text
        assert code_form(browser)


def test_a_link_that_nobody_made_leads_to_a_plain_no(stage):
    with Browser() as browser:
        browser.open(f"{stage.site.viewer_url}/m/{'x' * 43}")
        assert browser.response.status_code == 404


def test_without_a_number_the_message_is_refused_with_the_reason(stage):
    with stage.relayd.hospital() as client:
        address = "zonder-nummer@outside.example"
        code, text = say(client, DOCTOR, [address], mail.message(DOCTOR, [address]))
    assert 500 <= code < 600
    assert "mobile" in text.lower()


def test_the_number_goes_no_further(stage):
    """It is removed from the copy of every other recipient."""
    outsider, colleague = "patient4@outside.example", "meelezer@partner.example"
    content = mail.message(DOCTOR, [outsider, colleague], headers={"X-Relayd-Mobile": f"{outsider}; {MOBILE}"})
    with stage.relayd.hospital() as client:
        assert say(client, DOCTOR, [outsider, colleague], content)[0] == 250
    arrived = stage.partner.content(stage.partner.wait_for_receipt(colleague))
    assert MOBILE.encode() not in arrived
    assert b"X-Relayd-Mobile" not in arrived
