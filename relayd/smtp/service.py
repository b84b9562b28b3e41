"""What the sessions of one listener share."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass

from relayd.mail.envelope import Listener
from relayd.settings.models import ListenerSettings, SmtpLimits
from relayd.smtp.door import Door


@dataclass(frozen=True, slots=True)
class Service:
    """``door`` makes the door of one session. ``tls`` gives the context for a new handshake; None offers no TLS.
    ``crowded`` says whether another worker had better take the next connection.

    A reload swaps the listener's service as a whole: sessions finish with the one they began with.
    """

    hostname: str
    settings: ListenerSettings
    limits: SmtpLimits
    door: Callable[[], Door]
    tls: Callable[[], ssl.SSLContext] | None = None
    crowded: Callable[[], bool] = bool

    @property
    def kind(self) -> Listener:
        return Listener(self.settings.kind)

    @property
    def idle(self) -> float:
        """Seconds of silence that end a session."""
        return self.limits.idle.total_seconds()
