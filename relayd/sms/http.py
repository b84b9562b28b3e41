"""SMS through a gateway's HTTP interface: one request made from templates, which covers the common gateways.

Placeholders are ``{number}``, ``{text}``, ``{reference}``, ``{id}`` and ``{secret}``. They are escaped for where they
stand: JSON strings in a body, form values in a body of type ``application/x-www-form-urlencoded``, percent-encoded in
the address, and plain in a header.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Final
from urllib.parse import quote, quote_plus

import httpx
import structlog

from relayd.settings.sms import PLACEHOLDERS, GatewaySettings
from relayd.sms.message import Sent, Sms, SmsResult
from relayd.sms.receipt import field_at

_log = structlog.get_logger("relayd.sms")
_PLACEHOLDER = re.compile(rf"\{{({'|'.join(PLACEHOLDERS)})\}}")
_TIMEOUT = httpx.Timeout(10.0, connect=5.0)
#: An answer is read only for the gateway's own id, and no further than this.
_LARGEST_ANSWER: Final = 64 * 1024
#: What speaks of the gateway or our account, not of this message: our secret, our credit, its address, too many.
_LATER: Final = frozenset({401, 402, 403, 404, 429})
#: A proxy gave up waiting (RFC 9110 §15.6.5): what stands behind it may have taken the message.
_GATEWAY_TIMEOUT: Final = 504
#: The request never left.
_NEVER_SENT: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)


class HttpSender:
    """``transport`` replaces the network in tests."""

    def __init__(
        self, settings: GatewaySettings, secret: str, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self._settings = settings
        self._secret = secret
        # trust_env=False: a proxy variable or a .netrc must not see codes and numbers.
        self._client = httpx.AsyncClient(timeout=_TIMEOUT, follow_redirects=False, trust_env=False, transport=transport)

    async def open(self) -> None:
        return

    async def send(self, sms: Sms) -> Sent:
        try:
            response = await self._client.send(self._request(sms), stream=True)
        except (*_NEVER_SENT, httpx.InvalidURL) as error:
            # Only the type: httpx puts the address, with the number in it, into its messages.
            _log.warning("sms.unreachable", reference=sms.reference, error=type(error).__name__)
            return Sent(SmsResult.UNREACHABLE)
        except httpx.HTTPError as error:
            _log.warning("sms.uncertain", reference=sms.reference, error=type(error).__name__)
            return Sent(SmsResult.UNCERTAIN, id=sms.id)
        try:
            return await self._answer(sms, response)
        finally:
            await response.aclose()

    async def _answer(self, sms: Sms, response: httpx.Response) -> Sent:
        status = response.status_code
        if status in self._settings.success:
            _log.info("sms.accepted", reference=sms.reference, status=status)
            return Sent(SmsResult.ACCEPTED, id=await self._own_id(response) if self._settings.answer_id else sms.id)
        _log.warning("sms.not_accepted", reference=sms.reference, status=status)
        if status == _GATEWAY_TIMEOUT:
            return Sent(SmsResult.UNCERTAIN, id=sms.id)
        return Sent(SmsResult.UNREACHABLE if status >= 500 or status in _LATER else SmsResult.REFUSED)

    async def _own_id(self, response: httpx.Response) -> str:
        """The gateway's name for the message, "" where its answer has none. The rest may repeat number and text."""
        content = bytearray()
        try:
            async for block in response.aiter_bytes():
                content += block
                if len(content) > _LARGEST_ANSWER:
                    return ""
            return field_at(json.loads(content), self._settings.answer_id)
        except (httpx.HTTPError, ValueError, RecursionError):
            return ""

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
        values = {"number": sms.number, "text": sms.text, "reference": sms.reference, "id": sms.id}
        values["secret"] = self._secret
        # One pass: a placeholder inside a value stays what it is.
        return _PLACEHOLDER.sub(lambda found: escape(values[found[1]]), template)


def _json_inner(value: str) -> str:
    return json.dumps(value)[1:-1]
