"""Pydantic's errors in the words of someone who edits a file: what was expected and what to write instead."""

from __future__ import annotations

import difflib
import types
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, RootModel, ValidationError
from pydantic_core import ErrorDetails

from relayd.errors import Problem
from relayd.settings.source import Location, Source

M = TypeVar("M", bound=BaseModel)

_EXPECTED = {
    "string_type": "expected text; put it between quotes",
    "int_type": "expected a whole number",
    "int_parsing": "expected a whole number",
    "int_from_float": "expected a whole number",
    "float_type": "expected a number",
    "float_parsing": "expected a number",
    "bool_type": "expected true or false",
    "bool_parsing": "expected true or false",
    "tuple_type": "expected a list: [one, two], or lines that start with '- '",
    "list_type": "expected a list: [one, two], or lines that start with '- '",
    "set_type": "expected a list: [one, two], or lines that start with '- '",
    "frozen_set_type": "expected a list: [one, two], or lines that start with '- '",
    "dict_type": "expected a mapping: indented lines of 'key: value'",
    "model_type": "expected a mapping: indented lines of 'key: value'",
    "model_attributes_type": "expected a mapping: indented lines of 'key: value'",
    "path_type": "expected a path",
    "date_from_datetime_parsing": "expected a date such as 2027-12-31",
    "date_parsing": "expected a date such as 2027-12-31",
    "date_type": "expected a date such as 2027-12-31",
}


def validate(
    model: type[M], source: Source, value: Any, at: Location = (), context: Mapping[str, Any] | None = None
) -> tuple[M | None, list[Problem]]:
    """``value``, which stands at ``at`` in ``source``, as a ``model``; or the mistakes in it."""
    try:
        return model.model_validate(value, context=context), []
    except ValidationError as error:
        return None, [_problem(model, source, at, detail) for detail in error.errors(include_url=False)]


def suggest(word: str, known: Iterable[str]) -> str:
    """``did you mean "x"?``, or the list of what there is; "" when there is nothing."""
    names = sorted(known)
    close = difflib.get_close_matches(word.lower(), names, 1, 0.6)
    if close:
        return f'did you mean "{close[0]}"?'
    return f"known here: {', '.join(names)}" if names else ""


def _problem(model: type[BaseModel], source: Source, at: Location, detail: ErrorDetails) -> Problem:
    location = [step for step in detail["loc"] if not (isinstance(step, str) and step == "[key]")]
    return source.problem([*at, *location], _text(model, location, detail))


def _text(model: type[BaseModel], location: list[int | str], detail: ErrorDetails) -> str:
    kind, facts = detail["type"], detail.get("ctx", {})
    if kind == "extra_forbidden":
        owner = _model_at(model, location[:-1])
        known = [field.alias or name for name, field in owner.model_fields.items()] if owner else []
        return f"unknown key; {suggest(str(location[-1]), known)}".rstrip("; ")
    if kind == "missing":
        return f"is missing; {_description(model, location) or 'add it'}"
    if kind == "literal_error":
        return _one_of(detail["input"], str(facts["expected"]))
    if kind == "enum":
        return _one_of(detail["input"], str(facts["expected"]))
    if kind in ("value_error", "assertion_error"):
        return str(facts.get("error", detail["msg"]))
    if kind in ("greater_than_equal", "greater_than"):
        return (
            f"expected {'at least' if kind == 'greater_than_equal' else 'more than'} {facts.get('ge', facts.get('gt'))}"
        )
    if kind in ("less_than_equal", "less_than"):
        return f"expected {'at most' if kind == 'less_than_equal' else 'less than'} {facts.get('le', facts.get('lt'))}"
    if kind == "too_short":
        return f"expected at least {facts['min_length']}, found {facts['actual_length']}"
    if kind == "string_too_short":
        return "can't be empty"
    if kind in ("string_pattern_mismatch", "string_too_long"):
        return f"doesn't fit: {_description(model, location)}".rstrip(": .")
    if kind in _EXPECTED:
        return _EXPECTED[kind]
    return detail["msg"][:1].lower() + detail["msg"][1:]


def _one_of(found: Any, expected: str) -> str:
    words = [word.strip("' ") for word in expected.replace(" or ", ",").split(",")]
    close = difflib.get_close_matches(str(found).lower(), words, 1, 0.6)
    hint = f'; did you mean "{close[0]}"?' if close else ""
    return f"expected {' or '.join(filter(None, (', '.join(words[:-1]), words[-1])))}{hint}"


def _description(model: type[BaseModel], location: list[int | str]) -> str:
    owner = _model_at(model, location[:-1])
    field = owner.model_fields.get(str(location[-1])) if owner else None
    return field.description or "" if field else ""


def _model_at(model: type[BaseModel], location: Iterable[int | str]) -> type[BaseModel] | None:
    """The settings class that ``location`` leads to, through lists, mappings and optional fields."""
    current: Any = model
    for step in location:
        current = _inner(current, step)
        if current is None:
            return None
    return _as_model(current)


def _inner(annotation: Any, step: int | str) -> Any:
    owner = _as_model(annotation)
    if owner is not None and issubclass(owner, RootModel):
        return _inner(owner.model_fields["root"].annotation, step)
    if owner is not None:
        field = owner.model_fields.get(str(step))
        return field.annotation if field else None
    for option in _options(annotation):
        arguments = get_args(option)
        if get_origin(option) is dict:
            return arguments[1]
        if get_origin(option) in (tuple, list, set, frozenset):
            return arguments[0]
    return None


def _options(annotation: Any) -> list[Any]:
    if get_origin(annotation) is Annotated:
        return _options(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        return [inner for one in get_args(annotation) for inner in _options(one)]
    return [annotation]


def _as_model(annotation: Any) -> type[BaseModel] | None:
    for option in _options(annotation):
        if isinstance(option, type) and issubclass(option, BaseModel):
            return option
    return None
