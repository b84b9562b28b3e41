"""Journal kinds of the Viewer. All name the recipient; none holds a number, a code, a file name or a subject.

``viewer-visited`` never counts as read: mail scanners open links too. ``viewer-opened`` does, once per session.
"""

from __future__ import annotations

from typing import Final

#: The link was opened, at most once an hour.
VISITED: Final = "viewer-visited"
#: The gateway took the SMS. Facts: ``channel``, ``result``.
CODE_SENT: Final = "viewer-code-sent"
#: The gateway didn't. Facts: ``channel``, ``result`` (refused, unreachable).
CODE_NOT_SENT: Final = "viewer-code-not-sent"
#: A wrong code was entered.
WRONG_CODE: Final = "viewer-wrong-code"
#: The right code was entered and a session began. Facts: ``channel``.
VERIFIED: Final = "viewer-verified"
#: Thirty wrong codes in a row: nobody gets in until it is unlocked.
LOCKED: Final = "viewer-locked"
#: The sender or the helpdesk unlocked it.
UNLOCKED: Final = "viewer-unlocked"
#: The message was shown.
OPENED: Final = "viewer-opened"
#: A part was downloaded. Facts: ``part``, a MIME part's path or "message".
DOWNLOADED: Final = "viewer-downloaded"
#: The recipient's access was withdrawn.
REVOKED: Final = "viewer-revoked"
