"""What must happen without anyone asking: forget what has expired, tell senders of wrong codes, watch for SMS fraud."""

from __future__ import annotations

import structlog

from relayd.delivery.notices import Notices
from relayd.errors import NotFound
from relayd.store.viewer import DueNotice, Pumping
from relayd.store.viewer_tables import Due, Grant
from viewer_web.services import Services

_log = structlog.get_logger("relayd.viewer")


async def keep_house(services: Services) -> None:
    """One round."""
    pumping: list[Pumping] = await services.store.call("viewer_sweep")
    for one in pumping:
        _log.warning("viewer.sms_fraud_suspected", region=one.region, sends=one.sends, used=one.used)
    due: list[DueNotice] = await services.store.call("viewer_due_notices")
    for notice in due:
        await _tell_sender(services, notice.grant, notice.kind)


async def _tell_sender(services: Services, grant: Grant, kind: Due) -> None:
    """The notice comes to exist in the transaction that says it was given: it goes out once, whatever breaks."""
    given = ("viewer_notice_given", {"grant_id": grant.id, "kind": kind.value})
    organisation = services.organisation(grant.organisation)
    try:
        message = await services.store.message(grant.message_id)
    except NotFound:
        message = None
    if message is None or not message.sender or organisation is None:
        await services.store.call(given[0], **given[1])
        return
    content = Notices(services.configuration).alert(
        organisation,
        message.sender,
        grant.recipient,
        kind,
        message.received_at,
        services.clock.now(),
        services.random.token_hex(16),
    )
    notice = await services.composer.compose(
        organisation=grant.organisation, recipient=message.sender, content=content, parent=message.id
    )
    await services.store.commit([notice], [given])
    _log.info("viewer.sender_told", grant=grant.id, kind=kind.value)
