"""A sender's HTML made harmless: what stays is text, structure, simple style and pictures that came along.

This is one of two walls. The other is the frame's own policy (``BODY_POLICY`` in viewer_web/security.py), which holds
without this one.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Mapping
from typing import Final
from urllib.parse import unquote

import nh3

from relayd.rendering.wire import Sanitised


def _words(text: str) -> set[str]:
    return set(text.split())


_TAGS: Final = _words(
    "a abbr address article aside b bdi bdo big blockquote br caption center cite code col colgroup dd del dfn div dl "
    "dt em figcaption figure font footer h1 h2 h3 h4 h5 h6 header hr i img ins kbd li main mark nav ol p pre q s samp "
    "section small span strike strong sub sup table tbody td tfoot th thead time tr tt u ul var wbr"
)
_DROP_WITH_CONTENT: Final = _words("script style title noscript template iframe object embed svg math select textarea")
_ATTRIBUTES: Final = {
    "*": {"align", "bgcolor", "color", "dir", "height", "lang", "style", "title", "valign", "width"},
    "a": {"href"},
    "img": {"alt", "src"},
    "font": {"face", "size"},
    "ol": {"start", "type"},
    "table": {"border", "cellpadding", "cellspacing"},
    "td": {"colspan", "rowspan"},
    "th": {"colspan", "rowspan", "scope"},
    "col": {"span"},
    "time": {"datetime"},
}
#: None of these takes an address, moves things over others, or hides them outside the page.
_STYLES: Final = _words(
    "background-color border border-bottom border-collapse border-color border-left border-radius border-right "
    "border-spacing border-style border-top border-width color display font-family font-size font-style font-weight "
    "height letter-spacing line-height list-style-type margin margin-bottom margin-left margin-right margin-top "
    "max-width min-width padding padding-bottom padding-left padding-right padding-top text-align text-decoration "
    "text-indent text-transform vertical-align white-space width word-break"
)
_CID: Final = re.compile(r"cid:([^\"'\s<>)]{1,250})", re.IGNORECASE)
#: Pictures that browsers show without running anything in them (SVG isn't one), by their first octets.
_PICTURES: Final = (
    (re.compile(rb"\x89PNG\r\n\x1a\n"), "image/png"),
    (re.compile(rb"\xff\xd8\xff"), "image/jpeg"),
    (re.compile(rb"GIF8[79]a"), "image/gif"),
    (re.compile(rb"RIFF....WEBP", re.DOTALL), "image/webp"),
)


def content_ids(html: str) -> set[str]:
    """The Content-IDs that this HTML refers to (RFC 2392)."""
    return {unquote(found) for found in _CID.findall(html)}


def picture_address(data: bytes) -> str | None:
    """A ``data:`` address for a picture, by what it is and not by what it says it is; None for anything else."""
    for pattern, kind in _PICTURES:
        if pattern.match(data):
            return f"data:{kind};base64,{b64encode(data).decode()}"
    return None


def sanitise(html: str, pictures: Mapping[str, str], room: int) -> Sanitised:
    """``pictures`` maps Content-IDs to ``data:`` addresses. A picture stands in the result as often as it is referred
    to, while all together have ``room`` characters.

    What comes out, and how long it takes, can grow with the square of what goes in: whatever opens many elements and
    never ends them gets all of them again in every paragraph (HTML, "reconstruct the active formatting elements").
    """
    blocked = left_out = shown = used = 0

    def keep(tag: str, attribute: str, value: str) -> str | None:
        nonlocal blocked, left_out, shown, used
        if tag != "img" or attribute != "src":
            return value
        address = pictures.get(unquote(value[4:])) if value[:4].lower() == "cid:" else None
        if address is None:
            blocked += 1
        elif used + len(address) > room:
            left_out += 1
            return None
        else:
            shown += 1
            used += len(address)
        return address

    clean = nh3.clean(
        html,
        tags=_TAGS,
        clean_content_tags=_DROP_WITH_CONTENT,
        attributes=_ATTRIBUTES,
        attribute_filter=keep,
        url_schemes={"http", "https", "mailto", "tel", "cid"},
        url_relative="deny",  # in a mail it means nothing, and here it would be an address of our own
        filter_style_properties=_STYLES,
        set_tag_attribute_values={"a": {"target": "_blank"}},
        link_rel="noopener noreferrer",
    )
    text = nh3.clean(clean, tags=set()).replace("&nbsp;", " ")
    return Sanitised(
        clean, blocked, left_out, room - used, len(clean) - used, bool(shown or text.replace("\xa0", " ").strip())
    )
