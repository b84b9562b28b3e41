"""A real, small disk for one process: a tmpfs that only it sees, in a mount namespace of its own."""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path

#: Mounts, and becomes the program: "$1" are the options, "$2" is the folder, the rest the command.
_MOUNT = 'mount -t tmpfs -o "$1" tmpfs "$2" && shift 2 && exec "$@"'
#: With a user namespace nobody has to be root; where those are forbidden root needs none.
_WAYS = (("--user", "--map-root-user", "--mount"), ("--mount",))


@cache
def _way() -> tuple[str, ...] | None:
    for way in _WAYS:
        command = ["unshare", *way, "sh", "-c", "mount -t tmpfs tmpfs /mnt"]
        try:
            if subprocess.run(command, capture_output=True, check=False).returncode == 0:
                return way
        except FileNotFoundError:
            return None
    return None


def unavailable() -> str:
    """Why there is none here, or ""."""
    return "" if _way() else "unshare(1) may not mount a tmpfs here (no user namespaces, and not root)"


class SmallDisk:
    """``size`` octets."""

    def __init__(self, size: int, *, read_only: bool = False) -> None:
        self._options = f"size={size},mode=700" + (",ro" if read_only else "")

    def around(self, folder: Path) -> list[str]:
        """What goes before a command that is to have the disk as ``folder``."""
        folder.mkdir(mode=0o700, exist_ok=True)
        return ["unshare", *(_way() or ()), "sh", "-c", _MOUNT, "sh", self._options, str(folder)]

    def enter(self, pid: int) -> list[str]:
        """What goes before a command that is to see what process ``pid`` sees."""
        user = ("--user", "--preserve-credentials") if "--user" in (_way() or ()) else ()
        return ["nsenter", "--target", str(pid), "--mount", *user]

    @staticmethod
    def seen_by(pid: int, folder: Path) -> Path:
        """``folder`` on the disk of process ``pid``, from outside."""
        return Path(f"/proc/{pid}/root") / folder.relative_to("/")
