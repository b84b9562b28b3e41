"""Passkeys (W3C Web Authentication, level 3): what a browser is asked to sign, and whether it did.

A reader may keep one on his device after he came in by a code sent to his number, where the organisation allows it. It
proves the same person at the same mailbox and number, for the same organisation; it is no account. The device asks for
its owner's finger, face or PIN each time ("user verification"), so it is possession and one more factor.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar
from urllib.parse import urlsplit

import structlog
import webauthn
from webauthn.helpers import parse_authentication_credential_json
from webauthn.helpers.structs import (
    AuthenticatorSelectionCriteria,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from relayd.delivery.installation import InstallationSecrets, digest
from relayd.delivery.notices import display_name
from relayd.delivery.origins import viewer_origin
from relayd.store.viewer_passkeys import Passkey
from relayd.store.viewer_tables import Channel, Grant
from viewer_web.codes import target_of
from viewer_web.security import new_cookie
from viewer_web.services import Services

T = TypeVar("T")
_log = structlog.get_logger("relayd.viewer")
#: An answer of a browser is a few hundred octets; an attestation could be some thousand.
_MOST_ANSWER: Final = 16 * 1024
#: How long the browser waits for its person, in milliseconds.
_PATIENCE: Final = 180_000


@dataclass(frozen=True, slots=True)
class Holder:
    """Who would hold the passkey of this grant, and the site ("relying party") that it is for."""

    grant: Grant
    owner: bytes
    site: str
    site_name: str
    origin: str


class Passkeys:
    """The ceremonies. Challenges are kept in the store, for one answer."""

    def __init__(self, services: Services, secrets: InstallationSecrets) -> None:
        self._services = services
        self._secrets = secrets

    async def holder_of(self, grant: Grant) -> Holder | None:
        """None where passkeys aren't allowed: the organisation doesn't want them, or the code doesn't go to a number.
        Raises Problem when the message is gone."""
        organisation = self._services.organisation(grant.organisation)
        if organisation is None or not organisation.settings.passkeys or grant.channel is not Channel.SMS:
            return None
        number = (await target_of(self._services, grant)).value
        name = "\0".join((grant.organisation, grant.recipient.lower(), number))
        origin = viewer_origin(self._services.configuration, organisation)
        return Holder(
            grant=grant,
            owner=hmac.digest(await self._secrets.key("passkeys"), name.encode(), "sha256"),
            site=urlsplit(origin).hostname or "",
            site_name=display_name(organisation),
            origin=origin,
        )

    async def known(self, holder: Holder) -> list[Passkey]:
        found: list[Passkey] = await self._services.store.call("viewer_passkeys", owner=holder.owner)
        return found

    async def offer_to_add(self, holder: Holder, browser: str) -> str:
        """What ``navigator.credentials.create`` takes, as JSON."""
        options = webauthn.generate_registration_options(
            rp_id=holder.site,
            rp_name=holder.site_name,
            user_id=holder.owner,
            user_name=holder.grant.recipient,
            challenge=await self._challenge(holder, browser),
            timeout=_PATIENCE,
            exclude_credentials=[_descriptor(one) for one in await self.known(holder)],
            authenticator_selection=AuthenticatorSelectionCriteria(
                resident_key=ResidentKeyRequirement.PREFERRED,
                user_verification=UserVerificationRequirement.REQUIRED,
            ),
        )
        return webauthn.options_to_json(options)

    async def offer_to_open(self, holder: Holder, browser: str) -> str:
        """What ``navigator.credentials.get`` takes, as JSON."""
        options = webauthn.generate_authentication_options(
            rp_id=holder.site,
            challenge=await self._challenge(holder, browser),
            timeout=_PATIENCE,
            allow_credentials=[_descriptor(one) for one in await self.known(holder)],
            user_verification=UserVerificationRequirement.REQUIRED,
        )
        return webauthn.options_to_json(options)

    async def add(self, holder: Holder, browser: str, answer: str) -> bool:
        """Keep the passkey that the browser made, if it made it for this challenge and site."""
        challenge = await self._answered(holder, browser)
        if challenge is None or len(answer) > _MOST_ANSWER:
            return False
        made = await _checked(
            lambda: webauthn.verify_registration_response(
                credential=answer,
                expected_challenge=challenge,
                expected_rp_id=holder.site,
                expected_origin=holder.origin,
                require_user_verification=True,
            )
        )
        if made is None:
            return False
        passkey = Passkey(made.credential_id, made.credential_public_key, made.sign_count)
        added: bool = await self._services.store.call(
            "viewer_passkey_add",
            grant_id=holder.grant.id,
            browser=digest(browser),
            owner=holder.owner,
            passkey=passkey,
        )
        return added

    async def open(self, holder: Holder, browser: str, answer: str) -> str | None:
        """The new cookie of a session when a passkey of the holder's signed the challenge, else None."""
        challenge = await self._answered(holder, browser)
        if challenge is None or len(answer) > _MOST_ANSWER:
            return None
        said = await _checked(lambda: parse_authentication_credential_json(answer))
        passkey = next((one for one in await self.known(holder) if said and one.credential == said.raw_id), None)
        if said is None or passkey is None:
            return None
        proof = await _checked(
            lambda: webauthn.verify_authentication_response(
                credential=said,
                expected_challenge=challenge,
                expected_rp_id=holder.site,
                expected_origin=holder.origin,
                credential_public_key=passkey.public_key,
                credential_current_sign_count=passkey.sign_count,
                require_user_verification=True,
            )
        )
        if proof is None:
            return None
        cookie = new_cookie(self._services)
        opened: bool = await self._services.store.call(
            "viewer_passkey_open",
            grant_id=holder.grant.id,
            mobile=holder.grant.mobile,
            owner=holder.owner,
            credential=passkey.credential,
            sign_count=proof.new_sign_count,
            browser=digest(browser),
            new_browser=digest(cookie),
        )
        return cookie if opened else None

    async def remove(self, holder: Holder, browser: str) -> None:
        await self._services.store.call(
            "viewer_passkeys_remove", grant_id=holder.grant.id, browser=digest(browser), owner=holder.owner
        )

    async def _challenge(self, holder: Holder, browser: str) -> bytes:
        challenge = bytes.fromhex(self._services.random.token_hex(32))
        await self._services.store.call(
            "viewer_challenge_put", grant_id=holder.grant.id, browser=digest(browser), challenge=challenge
        )
        return challenge

    async def _answered(self, holder: Holder, browser: str) -> bytes | None:
        challenge: bytes | None = await self._services.store.call(
            "viewer_challenge_take", grant_id=holder.grant.id, browser=digest(browser)
        )
        return challenge


def _descriptor(passkey: Passkey) -> PublicKeyCredentialDescriptor:
    return PublicKeyCredentialDescriptor(id=passkey.credential)


async def _checked(work: Callable[[], T]) -> T | None:
    """``work`` on octets that a stranger wrote, in a thread. Any exception is a refusal: besides its own errors the
    library passes on those of the CBOR and certificate parsers below it."""
    try:
        return await asyncio.to_thread(work)
    except Exception as error:
        _log.info("viewer.passkey_refused", reason=type(error).__name__)
        return None
