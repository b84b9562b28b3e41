"""What must happen without anyone asking: forget what has expired, tell senders of wrong codes, watch for SMS fraud."""

from __future__ import annotations

import structlog

from relayd.delivery.notices import Notices
from relayd.errors import NotFound
from relayd.store.viewer import Pumping
from relayd.store.viewer_tables import Grant
from viewer_web.services import Services

_log = structlog.get_logger("relayd.viewer")


async def keep_house(services: Services) -> None:
    """One round."""
    pumping: list[Pumping] = await services.store.call("viewer_sweep")
    for one in pumping:
        _log.warning("viewer.sms_fraud_suspected", region=one.region, sends=one.sends, used=one.used)
    alerts: list[Grant] = await services.store.call("viewer_alerts")
    for grant in alerts:
        await _tell_sender(services, grant)


async def _tell_sender(services: Services, grant: Grant) -> None:
    """The notice is committed before the alert is taken back, so that a crash repeats it instead of losing it."""
    organisation = services.organisation(grant.organisation)
    try:
        message = await services.store.message(grant.message_id)
    except NotFound:
        message = None
    if message is not None and message.sender and organisation is not None:
        content = Notices(services.configuration).alert(
            organisation,
            message.sender,
            grant.recipient,
            grant.alert,
            message.received_at,
            services.clock.now(),
            services.random.token_hex(16),
        )
        notice = await services.composer.compose(
            organisation=grant.organisation, recipient=message.sender, content=content, parent=message.id
        )
        await services.store.accept(notice)
    await services.store.call("viewer_alerted", grant_id=grant.id, alert=grant.alert)
    _log.info("viewer.sender_alerted", grant=grant.id, alert=grant.alert)
