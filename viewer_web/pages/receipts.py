"""Delivery receipts of SMS gateways: POST /sms/receipts/NAME, proven by a secret.

What is proven gets one answer, whether we know the message or not and however often it comes; so does what isn't,
whether there is such a gateway or not.
"""

from __future__ import annotations

from typing import Final

import structlog
from starlette.requests import Request
from starlette.responses import Response

from relayd.settings.sms import ReceiptSettings
from relayd.sms.receipt import is_proven, of_http
from relayd.sms.secret import read_secret
from relayd.store.viewer_sms import SmsLedger
from viewer_web.access import client_address
from viewer_web.services import Services

_log = structlog.get_logger("relayd.viewer")
_LARGEST: Final = 64 * 1024


class Receipts:
    """The gateways' own door. Raises ConfigurationError when a secret can't be read."""

    def __init__(self, services: Services) -> None:
        self._ledger = SmsLedger(services.store)
        self._gateways = {
            name: (gateway.receipts, read_secret(gateway.receipts.secret_file))
            for name, gateway in services.configuration.sms.named.items()
            if gateway.receipts is not None
        }

    async def take(self, request: Request) -> Response:
        name = request.path_params["gateway"]
        settings, secret = self._gateways.get(name, (None, ""))
        if settings is None or not _may_come_from(settings, request):
            return Response(status_code=403)
        body = await _body(request)
        if body is None:
            return Response(status_code=413)
        if not is_proven(settings, secret, request.headers, body):
            _log.warning("viewer.receipt_not_proven", gateway=name)
            return Response(status_code=403)
        receipt = of_http(settings, request.headers.get("content-type", ""), body)
        if receipt is not None:
            await self._ledger.heard(name, receipt)
        return Response(status_code=204)


def _may_come_from(settings: ReceiptSettings, request: Request) -> bool:
    if not settings.networks:
        return True
    address = client_address(request)
    return address is not None and any(address in network for network in settings.networks)


async def _body(request: Request) -> bytes | None:
    """None when it is larger than any receipt."""
    body = bytearray()
    async for block in request.stream():
        body += block
        if len(body) > _LARGEST:
            return None
    return bytes(body)
