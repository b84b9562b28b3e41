"""Freed memory: kept for the next message for a moment, then given back to the system.

Both are calls to glibc (mallopt(3), malloc_trim(3)); another C library is left as it is.
"""

from __future__ import annotations

import asyncio
import ctypes
from typing import Final

#: Seconds. A trim takes the loop's thread a tenth of a millisecond, a few milliseconds after much mail.
_EVERY: Final = 60.0
#: mallopt's names for these two.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
#: Octets free at the heap's end that stay there, and the size from which a block is mapped by itself. By default both
#: are near the size of our blocks of a body, each of which was then mapped and faulted in page by page: a thousand
#: faults and a sixteenth of the CPU time of a 5 MiB message.
_KEPT: Final = 4 * 2**20
_MAPPED: Final = 2**20


def keep_for_reuse() -> None:
    """Don't return each block of a body to the system only to ask for the next one."""
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)
    if set_option is not None:
        set_option(_M_TRIM_THRESHOLD, _KEPT)
        set_option(_M_MMAP_THRESHOLD, _MAPPED)


async def give_back() -> None:
    """Again and again, for ever. The C library by itself gives back only what is free at the end of its heap, and one
    small block that is in use there keeps all before it; its malloc_trim(3) finds free pages anywhere."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    while trim is not None:
        await asyncio.sleep(_EVERY)
        trim(0)
