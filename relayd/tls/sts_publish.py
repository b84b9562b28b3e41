"""The MTA-STS policies of domains whose mail comes to us, as the settings want them (RFC 8461 §3)."""

from __future__ import annotations

from relayd.directory.directory import Directory
from relayd.mail.address import Domain
from relayd.tls.mta_sts import policy_id
from relayd.tls.sts_policy import StsMode, StsPolicy


def published(directory: Directory, hostname: str, domain: Domain) -> StsPolicy | None:
    """The policy that we serve for ``domain``; None where its mail doesn't come to us or the settings want none.

    Its id follows from its content, so all machines of an installation name the same one, and none has to be kept.
    """
    organisation = directory.served(domain)
    wanted = organisation.settings_of(domain).mta_sts if organisation is not None else None
    if wanted is None:
        return None
    mode, mx, max_age = StsMode(wanted.mode), wanted.mx or (hostname.lower(),), int(wanted.max_age.total_seconds())
    return StsPolicy(domain, policy_id(mode, mx, max_age), mode, tuple(mx), max_age)
