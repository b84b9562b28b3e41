"""Access codes: making, sending and checking them. The rules themselves are in ``relayd.store.access_codes``."""

from __future__ import annotations

import asyncio
import hmac
import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

import structlog

from relayd.delivery.installation import InstallationSecrets, digest
from relayd.delivery.notices import Notices, display_name
from relayd.delivery.origins import viewer_origin
from relayd.delivery.viewer import bounce_address
from relayd.errors import Conflict, KeyDestroyed, NotFound, SealBroken
from relayd.sms.message import Sms
from relayd.sms.numbers import may_get_code, region_of
from relayd.sms.text import code_text
from relayd.store.access_codes import Answer, CodeLimits
from relayd.store.viewer_codes import Requested, Waiting
from relayd.store.viewer_tables import Channel, Grant
from viewer_web.problems import Problem, gone, stale_form, unknown
from viewer_web.security import new_cookie
from viewer_web.services import Services

_log = structlog.get_logger("relayd.viewer")

#: Without vowels (no words), and without digits and letters that look alike.
_REFERENCE_SIGNS: Final = "BCDFGHJKMPQRTVWXY346789"
_SEPARATORS: Final = re.compile(r"[\s\-‐‑–—.:]+")
_CODE: Final = re.compile(r"[0-9]{6}")


@dataclass(frozen=True, slots=True)
class Target:
    """Where a grant's code goes. ``shown`` is what a page may say of it: the last two digits, or the e-mail address."""

    channel: Channel
    value: str
    shown: str


async def target_of(services: Services, grant: Grant) -> Target:
    """Raises Problem when the message is gone, or opens without a code."""
    if grant.ended(services.clock.now()):
        raise gone(grant)
    if grant.channel is Channel.EMAIL:
        return Target(grant.channel, grant.recipient, grant.recipient)
    if grant.channel is not Channel.SMS:
        raise unknown()
    if grant.mobile is None:
        raise gone(grant)
    try:
        message = await services.store.message(grant.message_id)
        key = await asyncio.to_thread(
            services.vault.open, message.organisation, message.epoch, message.id, message.wrapped_key
        )
        number = key.unseal(f"grant:{grant.id}", grant.mobile).decode()
    except (NotFound, KeyDestroyed, SealBroken) as error:
        raise gone(grant) from error
    return Target(grant.channel, number, number[-2:])


async def request_code(
    services: Services, secrets: InstallationSecrets, grant: Grant, browser: str, language: str
) -> Answer:
    """Bind this browser to the grant's live code and send that when the rules say so."""
    target = await target_of(services, grant)
    if target.channel is Channel.SMS and not may_get_code(target.value, services.configuration.sms.countries):
        raise Problem("number.html", 409, grant)
    code_id = services.random.token_hex(16)
    try:
        requested: Requested = await services.store.call(
            "viewer_request_code",
            grant_id=grant.id,
            mobile=grant.mobile,
            browser=digest(browser),
            code_id=code_id,
            sealed=_seal(services, code_id, f"{services.random.randbelow(10**6):06d}"),
            reference="".join(_REFERENCE_SIGNS[services.random.randbelow(len(_REFERENCE_SIGNS))] for _ in range(3)),
            number_key=hmac.digest(await secrets.key("numbers"), target.value.encode(), "sha256"),
            region=region_of(target.value) if target.channel is Channel.SMS else "",
            limits=_limits(services),
        )
    except Conflict as error:
        raise stale_form() from error  # nothing goes to the number that was there before
    if requested.answer is Answer.SEND:
        if target.channel is Channel.SMS:
            await _send(services, grant, requested, target.value, language)
        else:
            await _mail(services, secrets, grant, requested)
    return requested.answer


async def enter_code(services: Services, grant_id: str, browser: str, entered: str) -> str | None:
    """The new cookie of a session when ``entered`` is right, else None.

    The same steps are taken for a wrong code, an expired one, another browser and an unknown grant, so that neither
    the answer nor its time tells which it was (ASVS 5.0 6.3.8).
    """
    waiting: Waiting | None = await services.store.call("viewer_waiting", grant_id=grant_id, browser=digest(browser))
    if waiting is not None and waiting.sealed is not None:
        code_id, sealed, live = waiting.code_id, waiting.sealed, True
    else:
        code_id, sealed, live = "", _seal(services, "", "000000"), False
    expected = services.vault.unseal_value(_purpose(code_id), sealed)
    correct = hmac.compare_digest(expected, entered.encode()) and live
    cookie = new_cookie(services)
    entered_right: bool = await services.store.call(
        "viewer_enter_code",
        grant_id=grant_id,
        browser=digest(browser),
        code_id=code_id,
        correct=correct,
        new_browser=digest(cookie),
    )
    return cookie if entered_right else None


def clean_code(text: str, reference: str) -> str | None:
    """The six digits in what a person typed or pasted ("K7Q-123 456"); None when there aren't just six."""
    text = _SEPARATORS.sub("", text.upper())
    if reference:
        text = text.removeprefix(reference)
    text = text.removeprefix("#")
    return text if _CODE.fullmatch(text) else None


async def _mail(services: Services, secrets: InstallationSecrets, grant: Grant, requested: Requested) -> None:
    """The code by e-mail: to the same mailbox as the link."""
    organisation = services.organisation(grant.organisation)
    if organisation is None:
        raise gone(grant)
    code = services.vault.unseal_value(_purpose(requested.code_id), requested.sealed).decode()
    content = Notices(services.configuration, services.signing).code(
        organisation,
        grant.recipient,
        code,
        requested.reference,
        services.clock.now(),
        services.random.token_hex(16),
    )
    mail = await services.composer.compose(
        organisation=grant.organisation,
        recipient=grant.recipient,
        content=content,
        parent=grant.message_id,
        sender=bounce_address(services.configuration, await secrets.tokens(), grant.id),
    )
    done = {"grant_id": grant.id, "code_id": requested.code_id, "result": "accepted"}
    await services.store.commit([mail], [("viewer_sms_result", done)])


async def _send(services: Services, grant: Grant, requested: Requested, number: str, language: str) -> None:
    organisation = services.organisation(grant.organisation)
    name = display_name(organisation) if organisation else services.configuration.viewer.service_name
    code = services.vault.unseal_value(_purpose(requested.code_id), requested.sealed).decode()
    # The host that the link leads to, without a port, as browsers compare it.
    host = urlsplit(viewer_origin(services.configuration, organisation)).hostname or ""
    text = code_text(language, name, code, requested.reference, host)
    sms = Sms(number, text, requested.reference, services.random.token_hex(16), requested.code_id)
    sent = await services.sms.send(sms)
    _log.info("viewer.code_requested", grant=grant.id, result=sent.result.value, gateway=sent.gateway)
    await services.store.call(
        "viewer_sms_result",
        grant_id=grant.id,
        code_id=requested.code_id,
        result=sent.result.value,
        gateway=sent.gateway,
        receipt_id=sent.id,
    )


def _limits(services: Services) -> CodeLimits:
    sms = services.configuration.sms
    return CodeLimits(
        lifetime=services.configuration.viewer.code_lifetime.total_seconds(),
        organisation_daily=sms.per_organisation,
        total_hourly=sms.per_hour,
    )


def _purpose(code_id: str) -> str:
    return f"access code {code_id}"


def _seal(services: Services, code_id: str, code: str) -> bytes:
    return services.vault.seal_value(_purpose(code_id), code.encode())
