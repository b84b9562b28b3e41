"""Who may see what: from a request to a grant, a session and the opened message."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final

import msgspec
from starlette.requests import Request

from relayd.delivery.installation import digest
from relayd.errors import KeyDestroyed, NotFound
from relayd.mail.body import Body
from relayd.mail.headers import Headers
from relayd.mail.meta import HeaderPatch, MessageMeta
from relayd.mail.patch import apply
from relayd.store.derived import DerivedCopy
from relayd.store.records import Message
from relayd.store.viewer import Session
from relayd.store.viewer_tables import Grant
from relayd.vault.meta import copy_part, open_derived, open_meta
from relayd.vault.vault import MessageKey
from viewer_web.hosts import is_at_home
from viewer_web.problems import Problem, gone, signed_out, unknown
from viewer_web.security import cookie_of
from viewer_web.services import Services

#: A session's last sign of life is written at most this often.
SEEN_EVERY: Final = 30.0
_WINDOW = timedelta(minutes=10)
_RENDERINGS = 20


@dataclass(frozen=True, slots=True)
class Opened:
    """A message as its recipient may see it: his own copy. ``headers`` are that copy's."""

    message: Message
    key: MessageKey
    meta: MessageMeta
    body: Body
    patch: HeaderPatch
    headers: Headers


async def grant_of_link(request: Request, services: Services) -> Grant:
    """The grant that a link's token names, still running. Raises Problem."""
    token = request.path_params["token"]
    grant: Grant | None = await services.store.call("viewer_grant_by_token", token_hash=digest(token))
    if grant is None or not is_at_home(request, services, grant.organisation):
        await within_limits(request, services, "unknown link", 60)
        raise unknown()
    if grant.ended(services.clock.now()):
        raise gone(grant)
    return grant


def client_address(request: Request) -> IPv4Address | IPv6Address | None:
    """Who asks. An IPv4 address has one form, also where it came to a listener on [::] (RFC 4291 §2.5.5.2)."""
    try:
        address = ip_address(request.client.host if request.client else "")
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


async def within_limits(request: Request, services: Services, what: str, most: int) -> None:
    """Count one more of ``what`` for this client, all processes together; Problem beyond ``most`` in ten minutes. It
    only slows down whoever does it: nothing of anybody else's is locked."""
    address = client_address(request)
    # Whoever has one address of IPv6 has the whole /64. Those whose address can't be known are one client together.
    name = str(ip_network((int(address), 64), strict=False)) if isinstance(address, IPv6Address) else str(address)
    if not await services.limits.take(f"viewer {what} {name}", 1, most, _WINDOW):
        raise Problem("too_many.html", 429)


async def may_render(services: Services, grant: Grant) -> None:
    """Count one PDF more that is made or shown for this grant; Problem beyond so many in ten minutes. A message can be
    made to take the renderer's whole patience, and others wait for it meanwhile."""
    if not await services.limits.take(f"viewer rendering {grant.id}", 1, _RENDERINGS, _WINDOW):
        raise Problem("too_many.html", 429, grant)


async def session_of(request: Request, services: Services, *, counts: bool = True) -> tuple[Session, str]:
    """This browser's session for the message in the path, and its cookie. Raises Problem when there is none.

    ``counts`` False looks without being a sign of life.
    """
    cookie = cookie_of(request)
    if cookie is None:
        raise signed_out()
    arguments = {"grant_id": request.path_params["grant"], "browser": digest(cookie)}
    session: Session | None = await services.store.call("viewer_session", **arguments)
    if session is None or not is_at_home(request, services, session.grant.organisation):
        raise signed_out()
    if counts and services.clock.now() - session.seen_at >= SEEN_EVERY:
        await services.store.call("viewer_session_seen", **arguments)
    return session, cookie


async def open_message(services: Services, session: Session, cookie: str) -> Opened:
    """Raises Problem when the message is gone; KeyUnavailable, StoreUnavailable and SealBroken pass through."""
    grant = session.grant
    try:
        message = await services.store.message(grant.message_id)
        opened = await asyncio.to_thread(_open, services, message, session, cookie)
        if grant.copy not in opened.meta.transformations:
            return opened
        derived = await services.store.call("derived_copy", message_id=message.id, copy=grant.copy)
        return await asyncio.to_thread(_made_anew, services, opened, grant.copy, derived)
    except (NotFound, KeyDestroyed) as error:
        raise gone(grant) from error


def _open(services: Services, message: Message, session: Session, cookie: str) -> Opened:
    place = (message.organisation, message.epoch, message.id, message.wrapped_key)
    if session.key is not None and message.wrapped_key:
        key = MessageKey.of_holder(*place, session.key, cookie)
    else:
        key = services.vault.open(*place)
    meta = open_meta(key, message.meta)
    body = services.blobs.open(message.body, key, meta.head_length, message.size)
    patch = meta.copies[session.grant.copy]
    return Opened(message, key, meta, body, patch, Headers(apply(patch, body.head)))


def _made_anew(services: Services, opened: Opened, copy: int, derived: DerivedCopy | None) -> Opened:
    """The copy whose content was made anew; as it came where that couldn't be done."""
    if derived is None or not derived.made:
        return opened
    facts = open_derived(opened.key, copy, derived.meta)
    body = services.blobs.open(derived.body, opened.key, facts.head_length, derived.size, copy_part(copy))
    meta = msgspec.structs.replace(opened.meta, head_length=facts.head_length, parts=facts.parts)
    return Opened(opened.message, opened.key, meta, body, HeaderPatch(), Headers(body.head))
