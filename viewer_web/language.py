"""Dutch and English: which one a page is in, its words, its dates and sizes."""

from __future__ import annotations

import gettext
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

from babel.dates import format_date, format_datetime, format_time
from babel.numbers import format_decimal
from starlette.requests import Request

from relayd.catalogue import read_catalogue

LANGUAGES: Final = {"nl": "Nederlands", "en": "English"}
LOCALES: Final = {"nl": "nl_NL", "en": "en_GB"}
FOLDER: Final = Path(__file__).parent / "locale"


@cache
def load_catalogue(language: str) -> gettext.GNUTranslations:
    """A language's words, from its .po file."""
    return read_catalogue(FOLDER / f"{language}.po")


def language_of(request: Request, default: str | None = None) -> str:
    """What the person chose on the page, else ``default``, else what the browser asks for, else Dutch."""
    chosen = request.query_params.get("lang", "")
    if chosen in LANGUAGES:
        return chosen
    if default in LANGUAGES:
        return str(default)
    for wanted in request.headers.get("accept-language", "").split(","):
        if (language := wanted.strip()[:2].lower()) in LANGUAGES:
            return language
    return "nl"


@dataclass(frozen=True, slots=True)
class Format:
    """Dates and sizes as people of ``language`` write them."""

    language: str
    zone: ZoneInfo

    def date(self, at: float) -> str:
        return format_date(self._moment(at), format="long", locale=LOCALES[self.language])

    def moment(self, at: float) -> str:
        return format_datetime(self._moment(at), format="d MMMM y HH:mm", locale=LOCALES[self.language])

    def time(self, at: float) -> str:
        return format_time(self._moment(at), format="HH:mm", locale=LOCALES[self.language])

    def size(self, octets: int) -> str:
        for unit, step in (("MB", 10**6), ("kB", 10**3)):
            if octets >= step:
                return f"{format_decimal(round(octets / step, 1), locale=LOCALES[self.language])} {unit}"
        return f"{octets} B"

    def _moment(self, at: float) -> datetime:
        return datetime.fromtimestamp(at, self.zone)
