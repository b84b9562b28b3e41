"""Memory that a burst needed goes back to the system once it is free."""

from __future__ import annotations

import asyncio
import ctypes
from typing import Final

#: Seconds. A trim takes the loop's thread a tenth of a millisecond, a few milliseconds after much mail.
_EVERY: Final = 60.0


async def give_back() -> None:
    """Again and again, for ever. The C library by itself gives back only what is free at the end of its heap, and one
    small block that is in use there keeps all before it; its malloc_trim(3) finds free pages anywhere."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's own
    while trim is not None:
        await asyncio.sleep(_EVERY)
        trim(0)
