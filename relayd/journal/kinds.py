"""The words of the journal: what can happen to a message. ``docs/journal.md`` says what facts each carries."""

from __future__ import annotations

from typing import Final

# At the door
RECEIVED: Final = "received"
JUDGED: Final = "judged"
CREATED: Final = "created"

# On the way out
ROUTED: Final = "routed"
DELIVERED: Final = "delivered"
RELAYED: Final = "relayed"
TRANSFORMED: Final = "transformed"
NOT_TRANSFORMED: Final = "not-transformed"
DEFERRED: Final = "deferred"
FAILED: Final = "failed"
AMBIGUOUS: Final = "ambiguous"
EXPIRED: Final = "expired"
DELAY_NOTICED: Final = "delay-noticed"
REPORTED: Final = "reported"

# In the Viewer
NOTIFIED: Final = "notified"
LINK_VISITED: Final = "link-visited"
CODE_SENT: Final = "code-sent"
CODE_FAILED: Final = "code-failed"
WRONG_CODE: Final = "wrong-code"
VERIFIED: Final = "verified"
OPENED: Final = "opened"
DOWNLOADED: Final = "downloaded"
LOCKED: Final = "locked"
UNLOCKED: Final = "unlocked"
REVOKED: Final = "revoked"
RESTORED: Final = "restored"
CONFIRMED: Final = "confirmed"
NOTIFICATION_FAILED: Final = "notification-failed"
REMINDED: Final = "reminded"
CODE_DELIVERED: Final = "code-delivered"
CODE_LOST: Final = "code-lost"
NUMBER_DISPUTED: Final = "number-disputed"
NUMBER_CORRECTED: Final = "number-corrected"
PASSKEY_ADDED: Final = "passkey-added"
PASSKEYS_REMOVED: Final = "passkeys-removed"
REPLIED: Final = "replied"
REPLY_FAILED: Final = "reply-failed"
PASSED_ON: Final = "passed-on"
FORWARD_FAILED: Final = "forward-failed"
RECEIPT_SENT: Final = "receipt-sent"

# By an operator
HELD: Final = "held"
RELEASED: Final = "released"
RETRIED: Final = "retried"
CANCELLED: Final = "cancelled"
RESENT: Final = "resent"

# Forgetting
RETENTION_ENDS: Final = "retention-ends"
KEY_REMOVED: Final = "key-removed"
EPOCH_DESTROYED: Final = "epoch-destroyed"

ALL: Final = frozenset(
    value for name, value in list(globals().items()) if name.isupper() and name != "ALL" and isinstance(value, str)
)
