"""Operations: named functions on the database, run where its connection lives, many to a transaction.

A module declares its own with :func:`writes` or :func:`reads`::

    @writes
    def hold_message(db: sqlite3.Connection, now: float, message_id: str) -> int: ...

and anyone calls ``await store.call("hold_message", message_id="...")``. ``db`` and ``now`` are filled in by the
store; the other arguments and the result are of msgspec-encodable types, converted by the function's annotations.
A writing operation runs inside the group's transaction under its own savepoint: when it raises, only it is undone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Operation:
    """One named operation. ``writes`` ones join the group commit; the others run on a read-only connection."""

    name: str
    function: Callable[..., Any]
    writes: bool


REGISTRY: dict[str, Operation] = {}


def _register(function: F, *, writes: bool) -> F:
    name = function.__name__
    if name in REGISTRY and REGISTRY[name].function is not function:
        raise ValueError(f"two operations are called {name}")
    REGISTRY[name] = Operation(name, function, writes)
    return function


def writes(function: F) -> F:
    """Register an operation that changes rows."""
    return _register(function, writes=True)


def reads(function: F) -> F:
    """Register an operation that only looks."""
    return _register(function, writes=False)
