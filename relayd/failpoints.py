"""Named points at which a test may kill the process, to prove what a crash there costs.

``RELAYD_FAILPOINT=before-reply:3`` kills the process with SIGKILL when it reaches ``before-reply`` for the third
time. Unset, which is always so in production, :func:`reach` is one comparison.
"""

from __future__ import annotations

import os
import signal
from typing import Final

NAMES: Final = (
    "body-written",  # sealed octets handed to the kernel, not yet synced
    "body-durable",  # body synced, rows not yet written
    "rows-written",  # statements run, transaction not yet committed
    "rows-durable",  # transaction committed, nobody told yet
    "before-reply",  # the store said yes, 250 not yet sent
    "claimed",  # deliveries owned, nothing dialled
    "copy-made",  # a copy was made anew, its body durable, its row not yet written
    "before-final-dot",
    "after-final-dot",  # the next hop may have it, its reply not yet read
    "before-settle",  # the outcome is known, not yet recorded
    "before-report-settled",  # a daily report is made, its mails durable, nothing recorded
    "before-key-destroyed",  # purge: rows marked, epoch key still there
    "after-key-destroyed",
)


def _configured(text: str | None) -> tuple[str, int] | None:
    if not text:
        return None
    name, _, count = text.partition(":")
    if name not in NAMES:
        raise ValueError(f"RELAYD_FAILPOINT: no point is called {name!r}; there are {', '.join(NAMES)}")
    return name, int(count or 1)


_target = _configured(os.environ.get("RELAYD_FAILPOINT"))


def reach(name: str) -> None:
    """Die here when this is the configured point and its count is used up."""
    global _target
    if _target is None or _target[0] != name:
        return
    if _target[1] > 1:
        _target = (name, _target[1] - 1)
        return
    os.kill(os.getpid(), signal.SIGKILL)
