"""Where readers of an organisation find the Viewer: its own host name, or the service's."""

from __future__ import annotations

from urllib.parse import urlsplit

from relayd.directory.directory import Organisation
from relayd.settings.models import Configuration


def viewer_origin(configuration: Configuration, organisation: Organisation | None) -> str:
    """Such as "https://secure.clinic.example", without a slash at its end."""
    own = organisation.settings.viewer_url if organisation is not None else ""
    return own or configuration.viewer.url


def host_of(origin: str) -> str:
    """The host as people read it, with its port where it isn't the usual one."""
    return urlsplit(origin).netloc
