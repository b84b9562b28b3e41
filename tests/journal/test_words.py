"""The journal's words: every kind is documented and can be said."""

from __future__ import annotations

from pathlib import Path

import pytest

from relayd.journal import kinds
from relayd.journal.event import Event
from relayd.journal.words import in_words

DOCUMENT = (Path(__file__).parents[2] / "docs" / "journal.md").read_text()


@pytest.mark.parametrize("kind", sorted(kinds.ALL))
def test_every_kind_is_documented_and_has_words(kind: str) -> None:
    assert f"`{kind}`" in DOCUMENT
    assert in_words(Event(0, kind))


def test_a_line_names_the_recipient_and_the_facts() -> None:
    facts = {"reply": "450 4.2.0 later", "tls": {"version": "TLSv1.3"}, "tries": [1, 2], "nothing": ""}
    line = in_words(Event(0, kinds.DEFERRED, "a@clinic.example", facts))
    assert line.startswith("a@clinic.example: not delivered now")
    assert "reply 450 4.2.0 later; tls version=TLSv1.3; tries 1, 2" in line
    assert "nothing" not in line


def test_the_verdicts_are_told_one_by_one() -> None:
    judged = {
        "verdicts": [
            {"policy": "sender", "stage": "sender", "verdict": "pass", "reason": "a stranger", "recipients": []},
            {"policy": "domainbook", "stage": "route", "verdict": "route", "reason": "known", "route": "relay",
             "target": "x.nl", "class": "confidential", "recipients": ["a@x.nl", "b@x.nl"], "ms": 0.1},
        ]
    }  # fmt: skip
    assert in_words(Event(0, kinds.JUDGED, "", judged)).splitlines() == [
        "judged by the policies",
        "    sender: pass: a stranger",
        "    domainbook: route: known → relay x.nl (confidential) [a@x.nl, b@x.nl]",
    ]


def test_a_kind_of_a_plugin_is_said_as_it_is() -> None:
    assert in_words(Event(0, "something-new")) == "something-new"
