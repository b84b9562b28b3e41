"""Route ``folder``: each message as one .eml file that appears complete, for a program that watches the folder; or the
files that were made of it.

The content is clear text on disk: only where the configuration accepts it with a reason.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import structlog

from relayd.delivery.mailbox import is_file_name, write_durably
from relayd.delivery.parts import Decoded
from relayd.mail.meta import Part
from relayd.queue.outcome import Content, Job, Outcome, Result
from relayd.store.records import Delivery

log = structlog.get_logger("relayd.delivery")

#: The form of a copy that is made for a folder: its attachments are the files.
FORM = "folder"


class FolderRoute:
    """Writes ``message id-copy-number.eml``, once for all recipients of a copy.

    Of a copy that was made for a folder it writes the files, under their own names. What came with them, such as a
    covering letter, is in the .eml file then.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def deliver(self, job: Job) -> list[Outcome]:
        first = job.deliveries[0]
        whole = f"{job.message.id}-{first.copy}-{first.number}.eml"
        if not is_file_name(whole):
            raise ValueError("a message id that is no file name reached delivery")
        files = [(name, Decoded(job.content, part)) for name, part in _files(job)]
        try:
            for name, content in files:
                await self._write(name, content, first)
            if not files or _has_more(job):
                await self._write(whole, job.content, first)
        except OSError as error:
            log.error("folder_failed", id=job.message.id, error=error.strerror)
            return [
                Outcome(d.number, Result.DEFERRED, "4.3.0", "the folder can't be written now") for d in job.deliveries
            ]
        said = f"{len(files)} files written to the folder" if files else "written to the folder"
        return [Outcome(d.number, Result.DELIVERED, "2.0.0", said) for d in job.deliveries]

    async def close(self) -> None:
        return

    async def _write(self, name: str, content: Content, delivery: Delivery) -> None:
        # Written again under the same name after a crash: the reader sees one file, not two. What an earlier try was
        # killed over is clear text that no retention would find.
        for generation in range(delivery.generation + 1):
            temporary = self._folder / f".{name}.{generation}"
            temporary.unlink(missing_ok=True)
        await write_durably(temporary, self._folder / name, content)


def _files(job: Job) -> Iterator[tuple[str, Part]]:
    """The files of a copy that was made for a folder, with names that no other message's have."""
    if job.made_by is None or job.made_by.option("form") != FORM:
        return
    used: set[str] = set()
    for part in job.meta.parts:
        if part.is_container or "." in part.path or not part.names:
            continue
        name = part.names[0] if job.message.id in part.names[0] else f"{job.message.id}-{part.names[0]}"
        name = name if is_file_name(name) and name not in used else f"{job.message.id}-{part.path or 0}.bin"
        used.add(name)
        yield name, part


def _has_more(job: Job) -> bool:
    """Whether the copy holds a mail of several parts beside the files."""
    return any("." in part.path for part in job.meta.parts)
