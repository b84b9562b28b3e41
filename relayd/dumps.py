"""No process of ours leaves its memory on disk when it dies: content and keys are in there."""

from __future__ import annotations

import ctypes
import resource
from typing import Final

_PR_SET_DUMPABLE: Final = 4


def forbid_core_dumps() -> None:
    """For this process and those it forks; not for a program that it executes.

    The limit alone isn't enough: a core_pattern that names a program gets dumps whatever the limit says (core(5)).
    A process that isn't dumpable can't be traced by others of its user either.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
