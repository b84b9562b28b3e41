"""Message ids: 16 characters that sort by time, from an alphabet without i, l, o and u."""

from __future__ import annotations

import random
from typing import Final

from relayd.clock import Clock

_ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"
_RANDOM_BITS: Final = 35
_SYSTEM: Final = random.SystemRandom()
_PAIRS: Final = tuple(a + b for a in _ALPHABET for b in _ALPHABET)


def new_id(clock: Clock, source: random.Random = _SYSTEM) -> str:
    """A fresh id: 45 bits of milliseconds, then 35 random ones."""
    return _encode((int(clock.now() * 1000) << _RANDOM_BITS) | source.getrandbits(_RANDOM_BITS))


def first_id(unix: float) -> str:
    """The smallest id that a message of this moment can have, for searches by time."""
    return _encode(max(0, int(unix * 1000)) << _RANDOM_BITS)


def _encode(number: int) -> str:
    return "".join([_PAIRS[(number >> shift) & 1023] for shift in range(70, -1, -10)])
