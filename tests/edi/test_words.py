"""Every language says everything that pages show, and nothing else."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from babel.messages.extract import extract
from babel.messages.pofile import read_po

import relayd.edi
from relayd.cli import edi as command
from relayd.edi import losses, names, names_hl7, presenting
from relayd.edi.words import FOLDER, LANGUAGES

PACKAGE = Path(relayd.edi.__file__).parent
SOURCES = [*PACKAGE.rglob("*.py"), Path(command.__file__)]
#: Which argument of these is a key of translation: by position, by name.
KEYS = {
    "Finding": (1, "text"),
    "Pair": (0, "label"),
    "Text": (1, "title"),
    "Fields": (1, "title"),
    "Unread": (1, "name"),
}
SAYING = {"words", "self"}


def literals(node: ast.AST | None, where: ast.AST) -> Iterator[str]:
    """The texts that an argument can be: written there, one of two, or in a variable of that name."""
    match node:
        case ast.Constant(value=str(text)):
            yield text
        case ast.IfExp():
            yield from literals(node.body, where)
            yield from literals(node.orelse, where)
        case ast.Name():
            for other in ast.walk(where):
                if isinstance(other, ast.Assign) and any(
                    isinstance(target, ast.Name) and target.id == node.id for target in other.targets
                ):
                    yield from literals(other.value, ast.Pass())


def from_code() -> set[str]:
    found = set()
    for file in SOURCES:
        tree = ast.parse(file.read_text("utf-8"))
        for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
            name = call.func.id
            if name in SAYING and call.args:
                found |= set(literals(call.args[0], ast.Pass()))
            elif name in KEYS:
                position, keyword = KEYS[name]
                given = [one.value for one in call.keywords if one.arg == keyword]
                argument = call.args[position] if len(call.args) > position else given[0] if given else None
                found |= set(literals(argument, tree))
    return found - {""}


def from_templates() -> set[str]:
    found = set()
    for template in (PACKAGE / "templates").glob("*.html"):
        with template.open("rb") as file:
            found |= {str(text) for _, text, _, _ in extract("jinja2.ext:babel_extract", file)}
    return found


def mentioned() -> set[str]:
    """Every text of our code."""
    return {
        node.value
        for file in SOURCES
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


@pytest.mark.parametrize("language", [one for one in LANGUAGES if one != "en"])
def test_a_catalogue_has_all_that_is_said_and_nothing_that_isnt(language):
    with (FOLDER / f"{language}.po").open("rb") as file:
        catalogue = {entry.id: entry for entry in read_po(file, locale=language) if entry.id}
    said = from_code() | from_templates() | names.labels() | names_hl7.labels() | presenting.labels() | losses.labels()
    assert said - set(catalogue) == set()
    assert set(catalogue) - said - mentioned() == set()
    for entry in catalogue.values():
        assert entry.string
        assert not entry.fuzzy
        assert not list(entry.check())
