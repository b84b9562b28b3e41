"""Finding an operation by name and giving its arguments and result the types of its annotations."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from functools import cache
from typing import Any, get_type_hints

import msgspec

from relayd.errors import NotFound
from relayd.store.operation import REGISTRY, Operation


def find(name: str) -> Operation:
    """The registered operation of this name."""
    try:
        return REGISTRY[name]
    except KeyError:
        raise NotFound(f"the store has no operation {name}") from None


def perform(operation: Operation, db: sqlite3.Connection, now: float, arguments: Mapping[str, Any]) -> Any:
    """Run it on this connection."""
    return operation.function(db, now, **arguments)


def bind(operation: Operation, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments that came over the wire, as the types that the function's annotations name."""
    hints = _hints(operation.name)
    return {name: msgspec.convert(value, hints.get(name, Any)) for name, value in arguments.items()}


def result_of(operation: Operation, value: Any) -> Any:
    """A result that came over the wire, as the type that the function returns."""
    return msgspec.convert(value, _hints(operation.name).get("return", Any))


@cache
def _hints(name: str) -> dict[str, Any]:
    return get_type_hints(REGISTRY[name].function)
