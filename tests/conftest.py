"""What all tests share."""

from __future__ import annotations

from hypothesis import settings

# How long an example takes says more about the machine than about the code.
settings.register_profile("relayd", deadline=None)
settings.load_profile("relayd")


def pytest_make_parametrize_id(config: object, val: object, argname: str) -> str | None:
    """Octets made at import time differ from process to process, and tests that run in several need one name."""
    if isinstance(val, bytes) and (len(val) > 60 or not val.isascii() or b"\0" in val):
        return argname
    return None
