"""One writer per state folder: a lock that the kernel lets go of when its process ends, however it ends."""

from __future__ import annotations

import contextlib
import fcntl
import os
import sys
from pathlib import Path
from typing import Final

from relayd.errors import StoreUnavailable

_FILE: Final = "lock"


class FolderLock:
    """Held from construction until ``release``."""

    def __init__(self, folder: Path) -> None:
        path = folder / _FILE
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreUnavailable(f"{path}: {error.strerror}") from error
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(self._descriptor, 200).decode(errors="replace").strip() or "another process"
            os.close(self._descriptor)
            raise StoreUnavailable(f"the state folder {folder} is in use by {holder}") from None
        with contextlib.suppress(OSError):  # The lock holds on a full disk too; this only tells others who has it.
            os.ftruncate(self._descriptor, 0)
            os.write(self._descriptor, f"process {os.getpid()} ({Path(sys.argv[0]).name or 'python'})\n".encode())

    def release(self) -> None:
        """Let go; twice is fine."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)
