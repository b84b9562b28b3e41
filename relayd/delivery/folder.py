"""Route ``folder``: each message as one .eml file that appears complete, for a program that watches the folder.

The content is clear text on disk: only where the configuration accepts it with a reason.
"""

from __future__ import annotations

from pathlib import Path

import structlog

from relayd.delivery.mailbox import is_file_name, write_durably
from relayd.queue.outcome import Job, Outcome, Result

log = structlog.get_logger("relayd.delivery")


class FolderRoute:
    """Writes ``message id-copy.eml``, once for all recipients of a copy."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def deliver(self, job: Job) -> list[Outcome]:
        first = job.deliveries[0]
        name = f"{job.message.id}-{first.copy}-{first.number}.eml"
        if not is_file_name(name):
            raise ValueError("a message id that is no file name reached delivery")
        try:
            # Written again under the same name after a crash: the reader sees one file, not two. What an earlier try
            # was killed over is clear text that no retention would find.
            for generation in range(first.generation + 1):
                temporary = self._folder / f".{name}.{generation}"
                temporary.unlink(missing_ok=True)
            await write_durably(temporary, self._folder / name, job.content)
        except OSError as error:
            log.error("folder_failed", id=job.message.id, error=error.strerror)
            return [
                Outcome(d.number, Result.DEFERRED, "4.3.0", "the folder can't be written now") for d in job.deliveries
            ]
        return [Outcome(d.number, Result.DELIVERED, "2.0.0", "written to the folder") for d in job.deliveries]

    async def close(self) -> None:
        return
