"""The SMS is one GSM-7 segment, names the sender, and ends with the line that browsers read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.sms.text import GSM7, code_text


@pytest.mark.parametrize("language", ["nl", "en"])
def test_names_organisation_reference_and_code(language):
    text = code_text(language, "Ziekenhuis Zuid", "012345", "K7Q", "viewer.example.nl")
    assert "Ziekenhuis Zuid" in text
    assert "K7Q" in text
    assert text.splitlines()[-1] == "@viewer.example.nl #012345"
    assert "http" not in text


@given(st.text(max_size=300), st.sampled_from(["nl", "en"]))
def test_is_always_one_segment_of_gsm7(name, language):
    text = code_text(language, name, "000007", "9XZ", "veilig.een-heel-lange-ziekenhuisnaam.example.nl")
    assert len(text) <= 160
    assert set(text) <= GSM7
    assert text.endswith("\n@veilig.een-heel-lange-ziekenhuisnaam.example.nl #000007")


def test_keeps_letters_when_an_accent_is_unknown():
    assert code_text("nl", "Zorgçentrum Ŝint", "123456", "K7Q", "v.nl").startswith("Zorgcentrum Sint: ")
