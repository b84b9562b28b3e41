"""The words of one language for showing EDI: labels, dates, sizes.

English is the key, so it has no catalogue. Another language is a file ``locale/LANGUAGE.po``; the "Language" of its
header ("nl_NL") says how its dates are written.
"""

from __future__ import annotations

import gettext
import re
from datetime import date, datetime, time, timedelta
from functools import cache, lru_cache
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

from babel import Locale
from babel.dates import format_date, format_skeleton
from babel.numbers import format_decimal

from relayd.catalogue import read_catalogue
from relayd.edi.model import Finding, Place

FOLDER: Final = Path(__file__).parent / "locale"
#: Every language that pages can be in.
LANGUAGES: Final = ("en", *sorted(file.stem for file in FOLDER.glob("*.po")))

_ISO = re.compile(
    r"(\d{4})(?:-(\d\d)(?:-(\d\d)(?:T(\d\d):(\d\d)(?::(\d\d)(\.\d+)?)?(Z|[+-]\d\d:?\d\d)?)?)?)?", re.ASCII
)
_DAY = re.compile(r"\d{4}-\d\d-\d\d(?:T|$)", re.ASCII)
#: A time in its own zone needs no word about it; the messages are of the Netherlands.
_HERE: Final = ZoneInfo("Europe/Amsterdam")


class Words:
    """One language. Get it from :func:`words_of`."""

    def __init__(self, language: str, catalogue: gettext.NullTranslations, locale: Locale) -> None:
        self.language = language
        self.gettext = catalogue.gettext
        self._locale = locale
        self.moment = lru_cache(maxsize=4096)(self._moment)

    def __call__(self, text: str) -> str:
        """``text`` in this language; "" stays "" (a catalogue keeps its header there)."""
        return self.gettext(text) if text else ""

    def _moment(self, iso: str) -> str:
        """A date or moment of ISO 8601 written out, as exact as it is; what is no such thing comes back as it is."""
        match = _ISO.fullmatch(iso)
        if not match:
            return iso
        year, month, day, hour, minute, second, fraction, zone = match.groups()
        try:
            first = date(int(year), int(month or 1), int(day or 1))
            at = time(int(hour or 0), int(minute or 0), int(second or 0))
        except ValueError:
            return iso
        if month is None:
            return year
        if day is None:
            return format_skeleton("yMMMM", first, locale=self._locale)
        said = format_date(first, format="long", locale=self._locale)
        if hour is None:
            return said
        seconds = f":{second}{fraction or ''}" if second and (second != "00" or fraction) else ""
        elsewhere = f" ({zone})" if zone and not _is_here(datetime.combine(first, at), zone) else ""
        return f"{said}, {hour}:{minute}{seconds}{elsewhere}"

    def value(self, text: str) -> str:
        """``text`` written out if it is a day or a moment, else as it is."""
        return self.moment(text) if _DAY.match(text) else text

    def size(self, octets: int) -> str:
        """Octets in the largest unit that gives a number of at least 1."""
        for unit, step in (("MB", 10**6), ("kB", 10**3)):
            if octets >= step:
                return f"{format_decimal(round(octets / step, 1), locale=self._locale)} {unit}"
        return f"{octets} B"

    def finding(self, finding: Finding) -> str:
        """What was found, in this language."""
        text = self(finding.text)
        try:
            # A value may be a label too; one that is none stays as it is.
            return text % {name: self(value) for name, value in finding.values.items()} if finding.values else text
        except (KeyError, ValueError, TypeError):
            return f"{text} {' '.join(finding.values.values())}"

    def place(self, place: Place) -> str:
        """Where something stands: "line 12, BEP, 3.2"; "" when that isn't known."""
        line = f"{self('line')} {place.line}" if place.line else ""
        return ", ".join(part for part in (line, place.tag, place.element) if part)


def _is_here(moment: datetime, zone: str) -> bool:
    if zone == "Z":
        return False
    sign = -1 if zone[0] == "-" else 1
    offset = sign * timedelta(hours=int(zone[1:3]), minutes=int(zone[-2:]))
    return moment.replace(tzinfo=_HERE).utcoffset() == offset


@cache
def words_of(language: str) -> Words:
    """The words of ``language`` ("nl"); those of English when there is no such language."""
    if language not in LANGUAGES or language == "en":
        return Words("en", gettext.NullTranslations(), Locale.parse("en_GB"))
    catalogue = read_catalogue(FOLDER / f"{language}.po")
    return Words(language, catalogue, Locale.parse(catalogue.info()["language"]))
