"""Whether a page has everything of a reading on it, and nothing that the message smuggled in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from enum import Enum
from html.parser import HTMLParser

from relayd.edi.model import Element, Embedded, Finding, Pair, Place, Reading, Result
from relayd.edi.presenting import clean
from relayd.edi.words import words_of

DATES = {"birth_date", "dated", "sampled", "reported", "observed"}
#: What our words and symbols say of a flag.
SIGNS = {"<", ">", "<<", ">>", "L", "H", "LL", "HH", "A", "AA", "N", "LO", "HI", "S", "R"}
TAGS = {
    *("html", "head", "meta", "title", "style", "body", "article", "header", "section", "footer", "h1", "h2", "p"),
    *("span", "strong", "div", "table", "thead", "tbody", "tr", "th", "td", "ul", "li", "main"),
}
ATTRIBUTES = {"lang", "charset", "http-equiv", "content", "name", "class", "scope", "colspan", "rowspan"}
MOST_WRITTEN = 10_000


def said(value: object, name: str = "") -> Iterator[str]:
    """Every text of ``value`` as it is to be found on an English page."""
    match value:
        case Enum() | Place() | Pair(value="") | Element(value=""):
            pass
        case Pair():
            yield from (
                value.label,
                value.meaning,
                words_of("en").value(value.value) if not value.meaning else value.value,
            )
        case Finding():
            yield words_of("en").finding(value)
        case Embedded():
            yield from (value.name, value.media_type, *said(value.others))
            if value.data is None:
                yield value.written[:MOST_WRITTEN]
        case str():
            yield words_of("en").moment(value) if name in DATES else value
        case tuple():
            for one in value:
                yield from said(one, name)
        case _ if is_dataclass(value):
            for field in fields(value):
                held = getattr(value, field.name)
                if not (isinstance(value, Result) and field.name == "flag_text" and held in SIGNS):
                    yield from said(held, field.name)


class Page(HTMLParser):
    """The text of a page, its elements and their attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.text: list[str] = []
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self._in_style = False
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self._in_style = tag == "style"

    def handle_endtag(self, tag: str) -> None:
        self._in_style = False

    def handle_data(self, data: str) -> None:
        if not self._in_style:
            self.text.append(data)


def squeezed(text: str) -> str:
    """Without white space and case: lines are broken differently, and "bsn" is written BSN."""
    return "".join(text.split()).lower()


def missing(reading: Reading, page: str) -> list[str]:
    """What of ``reading`` isn't on the page, which is given as text."""
    there = squeezed(page)
    return [text for text in said(reading) if squeezed(clean(text)) not in there]


def smuggled(page: Page) -> set[str]:
    """Elements and attributes that no template of ours writes."""
    return (page.tags - TAGS) | (page.attributes - ATTRIBUTES)
