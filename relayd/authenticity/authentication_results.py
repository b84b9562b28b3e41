"""Authentication-Results (RFC 8601): our own field written, and those taken away that claim to be ours.

What a stranger says of himself (EHLO, MAIL FROM, d=) comes into the field only as a token or between quotes, in
printable ASCII and cut to a length; nothing that ends a line or a result can come in by way of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from relayd.authenticity.results import Arc, Authentication, Dkim, Dmarc, Result, Spf
from relayd.errors import SyntaxInvalid
from relayd.mail.address import normalise_domain
from relayd.mail.headers import Headers

NAME: Final = "authentication-results"
_LONGEST_VALUE: Final = 255
_TOKEN: Final = re.compile(r"[!#$%&'*+.0-9A-Z^_`a-z{|}~-]+")  # RFC 2045 §5.1
#: The same, where internationalised names may stand too (RFC 8601 §2.5).
_WORD: Final = re.compile(r"[!#$%&'*+.0-9A-Z^_`a-z{|}~\x80-\U0010ffff-]+")
_QUOTED: Final = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_QUOTED_PAIR: Final = re.compile(r"\\(.)", re.DOTALL)
_COMMENT_PART: Final = re.compile(r"[^()\\]+|\\.|[()]", re.DOTALL)
_VOUCHED: Final = re.compile(r";\s*(?:dkim|dmarc)=pass\b[^;]*?\bheader\.(?:d|from)=([A-Za-z0-9._-]+)")
_UNPRINTABLE: Final = re.compile(r"[^ -~]")


def field(authserv_id: str, authentication: Authentication) -> bytes:
    """Our field for a message from outside, folded, with its line end."""
    return _written(authserv_id, _results(authentication))


def authenticated_field(authserv_id: str, sender: str) -> bytes:
    """Our field for a message of somebody who logged in (RFC 8601 §2.7.4). ``sender`` is MAIL FROM's address, or ""."""
    return _written(authserv_id, [f"auth=pass{_property('smtp.mailfrom', sender)}"])


def forged(headers: Headers, authserv_id: str) -> tuple[int, ...]:
    """The numbers of the fields that claim to be ours (RFC 8601 §5), or that can't be read: another reader might."""
    return tuple(one.number for one in headers.all(NAME) if claimed_id(one.value) in (None, _folded(authserv_id)))


def vouched(headers: Headers, authserv_id: str) -> frozenset[str]:
    """The domains for which our own field says that DMARC holds, or that a signature of theirs does. For headers from
    which what was :func:`forged` is gone."""
    for one in headers.all(NAME):
        if claimed_id(one.value) == _folded(authserv_id):
            text = _QUOTED.sub('""', one.value.decode("utf-8", "replace"))  # what a stranger said, he said in quotes
            return frozenset(match[1].lower() for match in _VOUCHED.finditer(text))
    return frozenset()


def claimed_id(value: bytes) -> str | None:
    """The authserv-id in a field's unfolded value, in lower case; None when there is none that can be read."""
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError:
        return None
    start = _skip_comments(text)
    if start is None:
        return None
    if match := _QUOTED.match(text, start):
        return _folded(_QUOTED_PAIR.sub(r"\1", match[1])) or None
    match = _WORD.match(text, start)
    return (_folded(match[0]) or None) if match else None


def summary(authentication: Authentication) -> str:
    """All results in a few words that tell nothing of the content: ``spf=pass dkim=pass,fail dmarc=none``."""
    signatures = ",".join(one.result for one in authentication.dkim) or Result.NONE
    words = f"spf={authentication.spf.result} dkim={signatures} dmarc={authentication.dmarc.result}"
    arc = authentication.arc.result
    return words if arc is Result.NONE else f"{words} arc={arc}"


def _results(authentication: Authentication) -> list[str]:
    lines = [_spf(authentication.spf)]
    lines += [_dkim(one) for one in authentication.dkim] or ["dkim=none"]
    lines.append(_dmarc(authentication.dmarc))
    if authentication.arc != Arc():
        lines.append(_arc(authentication.arc))
    return lines


def _spf(spf: Spf) -> str:
    return f"spf={spf.result}{_reason(spf.reason)}{_property('smtp.helo' if spf.helo else 'smtp.mailfrom', spf.domain)}"


def _dkim(one: Dkim) -> str:
    properties = (("header.d", one.domain), ("header.s", one.selector), ("header.a", one.algorithm))
    return f"dkim={one.result}{_reason(one.reason)}{''.join(_property(name, value) for name, value in properties)}"


def _dmarc(dmarc: Dmarc) -> str:
    policy = dict(dmarc.published).get("p", "")
    comment = f" (p={policy})" if policy in ("none", "quarantine", "reject") else ""
    return f"dmarc={dmarc.result}{comment}{_reason(dmarc.reason)}{_property('header.from', dmarc.domain)}"


def _arc(arc: Arc) -> str:
    return f"arc={arc.result}{_reason(arc.reason)}"


def _written(authserv_id: str, results: Iterable[str]) -> bytes:
    text = ";\r\n\t".join((authserv_id, *results))
    return f"Authentication-Results: {text}\r\n".encode("ascii")


def _reason(text: str) -> str:
    return f"\r\n\t\treason={_quoted(text)}" if text else ""


def _property(name: str, value: str) -> str:
    if not value:
        return ""
    local, at, domain = value.rpartition("@")
    if at and _TOKEN.fullmatch(local) and _TOKEN.fullmatch(domain) and len(value) <= _LONGEST_VALUE:
        return f"\r\n\t\t{name}={value}"  # RFC 8601 §2.2: an address needs no quotes
    return f"\r\n\t\t{name}={value if _TOKEN.fullmatch(value) and len(value) <= _LONGEST_VALUE else _quoted(value)}"


def _quoted(value: str) -> str:
    printable = _UNPRINTABLE.sub("?", value[:_LONGEST_VALUE])
    escaped = printable.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _folded(authserv_id: str) -> str:
    """What two spellings of one authserv-id have in common."""
    text = authserv_id.strip()
    try:
        return normalise_domain(text)
    except SyntaxInvalid:
        return text.casefold().removesuffix(".")


def _skip_comments(text: str) -> int | None:
    """Where the first word begins, behind white space and comments (RFC 5322 §3.2.2); None when one isn't closed."""
    at = 0
    while at < len(text):
        if text[at].isspace():
            at += 1
            continue
        if text[at] != "(":
            break
        depth = 0
        for match in _COMMENT_PART.finditer(text, at):
            depth += {"(": 1, ")": -1}.get(match[0], 0)
            if not depth:
                at = match.end()
                break
        else:
            return None
    return at
