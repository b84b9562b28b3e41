"""Requests that end in a page of their own instead of what was asked for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from relayd.store.viewer_tables import Grant


@dataclass(slots=True)
class Problem(Exception):
    """Show ``template`` with ``status``. ``grant`` lets the page name the sending organisation."""

    template: str
    status: int
    grant: Grant | None = None
    values: dict[str, Any] = field(default_factory=dict)


def unknown() -> Problem:
    """No such link: mistyped, cut off by a mail program, or forgotten long ago."""
    return Problem("unknown.html", 404)


def gone(grant: Grant | None) -> Problem:
    """Expired or withdrawn. Only the holder of a valid link sees this instead of :func:`unknown`."""
    withdrawn = grant is not None and grant.revoked_at is not None
    return Problem("gone.html", 410, grant, {"withdrawn": withdrawn})


def signed_out() -> Problem:
    """No session for this message in this browser; the same for a message that doesn't exist."""
    return Problem("signed_out.html", 403)


def stale_form() -> Problem:
    """A form from elsewhere, from another browser, or sent without our cookie."""
    return Problem("stale_form.html", 403)


def unavailable() -> Problem:
    """A key, the disk or the database can't be reached now. Nothing falls back to plain mail."""
    return Problem("unavailable.html", 503)
