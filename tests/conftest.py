"""What holds for all tests."""

from __future__ import annotations


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Long octets by their argument: archives hold the time, and all processes must collect the same names."""
    return argname if isinstance(val, bytes) and len(val) > 32 else None
