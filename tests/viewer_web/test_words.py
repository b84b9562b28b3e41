"""Both languages say everything."""

from __future__ import annotations

from pathlib import Path

import pytest
from babel.messages.extract import extract
from babel.messages.pofile import read_po

import viewer_web
from relayd.delivery.notice_texts import TEXTS
from viewer_web.reading import KINDS

FOLDER = Path(viewer_web.__file__).parent
FROM_CODE = {
    *KINDS,
    "attachment",
    "message",
    "Answer of %(who)s, written in the secure reader.",
    "%(who)s passes on a message of %(author)s of %(date)s.",
}


def used():
    found = set(FROM_CODE)
    for template in (FOLDER / "templates").glob("*.html"):
        with template.open("rb") as file:
            found |= {
                text if isinstance(text, str) else text[0]
                for _, text, _, _ in extract("jinja2.ext:babel_extract", file)
            }
    return found


@pytest.mark.parametrize("language", ["nl", "en"])
def test_catalogue_has_just_what_is_used_and_all_of_it_translated(language):
    with (FOLDER / "locale" / f"{language}.po").open("rb") as file:
        catalogue = read_po(file, locale=language)
    entries = {entry.id if isinstance(entry.id, str) else entry.id[0]: entry for entry in catalogue if entry.id}
    assert set(entries) == used()
    for entry in entries.values():
        assert not entry.fuzzy
        assert all(entry.string) if isinstance(entry.string, tuple) else entry.string
        assert not list(entry.check(catalogue))


def test_notices_have_the_same_placeholders_in_both_languages():
    import re

    for name in TEXTS["nl"].__slots__:
        dutch, english = (sorted(re.findall(r"\{\w+\}", getattr(TEXTS[language], name))) for language in ("nl", "en"))
        assert dutch == english
        assert getattr(TEXTS["nl"], name) != getattr(TEXTS["en"], name) or name == "via"
