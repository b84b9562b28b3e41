"""SMS through a gateway's HTTP interface: one request made from templates, which covers the common gateways.

Placeholders are ``{number}``, ``{text}``, ``{reference}`` and ``{secret}``. They are escaped for where they stand:
JSON strings in a body, form values in a body of type ``application/x-www-form-urlencoded``, percent-encoded in the
address, and plain in a header.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote, quote_plus

import httpx
import structlog

from relayd.errors import ConfigurationError, Problem
from relayd.settings.models import SmsSettings
from relayd.sms.message import Sms, SmsResult

_log = structlog.get_logger("relayd.sms")
_PLACEHOLDER = re.compile(r"\{(number|text|reference|secret)\}")
_TIMEOUT = httpx.Timeout(10.0, connect=5.0)


class HttpSender:
    """``transport`` replaces the network in tests."""

    def __init__(self, settings: SmsSettings, secret: str, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._settings = settings
        self._secret = secret
        # trust_env=False: a proxy variable or a .netrc must not see codes and numbers.
        self._client = httpx.AsyncClient(timeout=_TIMEOUT, follow_redirects=False, trust_env=False, transport=transport)

    async def send(self, sms: Sms) -> SmsResult:
        try:
            response = await self._client.send(self._request(sms), stream=True)
            await response.aclose()  # its text isn't read: it may repeat number and text
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            # Only the type: httpx puts the address, with the number in it, into its messages.
            _log.warning("sms.unreachable", reference=sms.reference, error=type(error).__name__)
            return SmsResult.UNREACHABLE
        status = response.status_code
        if status in self._settings.success:
            _log.info("sms.accepted", reference=sms.reference, status=status)
            return SmsResult.ACCEPTED
        _log.warning("sms.not_accepted", reference=sms.reference, status=status)
        return SmsResult.UNREACHABLE if status >= 500 or status == 429 else SmsResult.REFUSED

    async def close(self) -> None:
        await self._client.aclose()

    def _request(self, sms: Sms) -> httpx.Request:
        settings = self._settings
        headers = {name.lower(): self._fill(value, sms, str) for name, value in settings.headers.items()}
        url = self._fill(settings.url, sms, lambda value: quote(value, safe=""))
        if settings.method == "GET":
            return self._client.build_request("GET", url, headers=headers)
        kind = headers.setdefault("content-type", "application/json")
        form = kind.startswith("application/x-www-form-urlencoded")
        body = self._fill(settings.body, sms, quote_plus if form else _json_inner)
        return self._client.build_request("POST", url, headers=headers, content=body.encode())

    def _fill(self, template: str, sms: Sms, escape: Callable[[str], str]) -> str:
        values = {"number": sms.number, "text": sms.text, "reference": sms.reference, "secret": self._secret}
        # One pass: a placeholder inside a value stays what it is.
        return _PLACEHOLDER.sub(lambda found: escape(values[found[1]]), template)


def read_secret(path: Path) -> str:
    """The gateway's secret, without its line end. Only the owner (and group, as systemd credentials) may read it."""
    try:
        mode = path.stat().st_mode
        secret = path.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError([Problem(path, None, "sms.secret_file", "can't be read")]) from error
    if mode & 0o007:
        raise ConfigurationError([Problem(path, None, "sms.secret_file", "anyone may read it: chmod 600")])
    if not secret.isprintable() or not secret:
        raise ConfigurationError([Problem(path, None, "sms.secret_file", "expected one line of printable text")])
    return secret


def _json_inner(value: str) -> str:
    return json.dumps(value)[1:-1]
