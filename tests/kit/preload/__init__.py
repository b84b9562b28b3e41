"""Small C libraries that stand between a process and libc (LD_PRELOAD), so that a test can watch or break its files.

Each is one file, ``<name>.c``, built once per machine with the C compiler.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from hashlib import sha256
from pathlib import Path

_SOURCES = Path(__file__).parent


def unavailable() -> str:
    """Why nothing can be built here, or "": a C compiler and libc's headers are needed."""
    return "" if shutil.which("cc") else "no C compiler (Debian: gcc libc6-dev)"


def build(name: str) -> Path:
    """The shared object of ``<name>.c``, for LD_PRELOAD; made anew only when its source changed."""
    source = _SOURCES / f"{name}.c"
    digest = sha256(source.read_bytes()).hexdigest()[:16]
    made = Path(tempfile.gettempdir()) / f"relayd-preload-{os.getuid()}" / f"{name}-{digest}.so"
    if not made.exists():
        made.parent.mkdir(mode=0o700, exist_ok=True)
        unfinished = made.with_suffix(f".{os.getpid()}")
        command = ["cc", "-O2", "-Wall", "-Werror", "-shared", "-fPIC", "-o", unfinished, source, "-ldl", "-lpthread"]
        subprocess.run(command, check=True)
        unfinished.rename(made)
    return made
