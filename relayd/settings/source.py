"""One YAML file, read so that every mistake can be traced to its line.

Scalars follow YAML 1.2's core rules: only ``true`` and ``false`` are booleans, ``NO`` is a country, ``10:25`` is text
and ``2027-01-01`` is left for the field's own type to read. Keys that stand twice are mistakes, anchors and merge keys
(``<<``) work.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from relayd.errors import Problem

Location = Sequence[str | int]

_MERGE = "tag:yaml.org,2002:merge"


class _Loader(yaml.SafeLoader):
    """SafeLoader with fewer surprises: no sexagesimal numbers, no dates, no yes and no."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 (the library's own class attribute)


for _tag, _pattern, _first in (
    ("bool", r"true|false", "tf"),
    ("int", r"[-+]?(?:0|[1-9][0-9]*)", "-+0123456789"),
    ("float", r"[-+]?[0-9]+\.[0-9]+", "-+0123456789"),
    ("null", r"~|null|", ["~", "n", ""]),
    ("merge", r"<<", "<"),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), list(_first))


class Source:
    """A parsed file: ``value`` is plain Python, :meth:`line` finds where a location in it stands."""

    def __init__(self, path: Path, text: str = "", value: Any = None) -> None:
        self.path = path
        self.value = value
        self._text = text

    def lean(self) -> Source:
        """The same without its value: what is kept as long as the configuration is in force."""
        return Source(self.path, self._text)

    def line(self, location: Location) -> int | None:
        """The line (from 1) of the deepest part of ``location`` that is in the file."""
        try:
            return self._lines.line(location)
        except (yaml.YAMLError, RecursionError):
            return None

    @cached_property
    def _lines(self) -> _Lines:
        return _Lines(yaml.compose(self._text, _Loader))

    def __getstate__(self) -> tuple[Path, str]:
        return self.path, self._text

    def __setstate__(self, state: tuple[Path, str]) -> None:
        self.__init__(*state)  # type: ignore[misc]

    def problem(self, location: Location, text: str) -> Problem:
        """A mistake at ``location``."""
        return Problem(self.path, self.line(location), ".".join(str(step) for step in location), text)


class _Lines:
    """The file's nodes, which know their lines; composed only when something is wrong."""

    def __init__(self, root: Node | None) -> None:
        self._root = root

    def line(self, location: Location) -> int | None:
        if self._root is None:
            return None
        node, line = self._root, int(self._root.start_mark.line) + 1
        for step in location:
            found = _step(node, step)
            if found is None:
                break
            node, line = found
        return line


def read(path: Path) -> tuple[Source, list[Problem]]:
    """Parse ``path``. With problems, the source is what could still be understood."""
    try:
        text = path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        return Source(path), [Problem(path, line, "", "is not UTF-8; save the file as UTF-8")]
    except OSError as error:
        return Source(path), [Problem(path, None, "", f"can't be read: {error.strerror}")]
    return parse(path, text)


def parse(path: Path, text: str) -> tuple[Source, list[Problem]]:
    """Parse ``text`` as the content of ``path``."""
    try:
        loader = _Loader(text)
    except yaml.YAMLError as error:  # a character that YAML forbids
        return Source(path), [Problem(path, None, "", f"is not YAML: {' '.join(str(error).split())}")]
    try:
        root = loader.get_single_node()
        if root is None:
            return Source(path, text), []
        builder = _Builder(path, loader)
        return Source(path, text, builder.value(root, ())), builder.problems
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        return Source(path), [Problem(path, mark.line + 1 if mark else None, "", _explain(error))]
    except RecursionError:
        return Source(path), [Problem(path, None, "", "is nested too deeply")]
    finally:
        loader.dispose()


def _explain(error: yaml.MarkedYAMLError) -> str:
    said = error.problem or error.context or "can't be parsed"
    if "\\t" in said:
        said = "a tab can't indent; use spaces"
    return f"is not YAML: {said}"


def _step(node: Node, step: str | int) -> tuple[Node, int] | None:
    if isinstance(node, MappingNode):
        merged = None
        for key, value in node.value:
            if key.tag == _MERGE:
                merged = merged or _in_merged(value, step)
            elif isinstance(key, ScalarNode) and key.value == str(step):
                return value, key.start_mark.line + 1
        return merged
    if isinstance(node, SequenceNode) and isinstance(step, int) and step < len(node.value):
        child = node.value[step]
        return child, child.start_mark.line + 1
    return None


def _in_merged(node: Node, step: str | int) -> tuple[Node, int] | None:
    sources = node.value if isinstance(node, SequenceNode) else [node]
    return next((found for source in sources if (found := _step(source, step))), None)


class _Builder:
    """Turns nodes into values, noting doubled keys and aliases that hold themselves."""

    def __init__(self, path: Path, loader: _Loader) -> None:
        self.problems: list[Problem] = []
        self._path = path
        self._loader = loader
        self._built: dict[int, Any] = {}
        self._open: set[int] = set()

    def value(self, node: Node, location: tuple[str | int, ...]) -> Any:
        if id(node) in self._built:
            return self._built[id(node)]
        if id(node) in self._open:
            self._report(node, location, "an alias can't stand inside its own anchor; write the value out")
            return None
        self._open.add(id(node))
        built = self._build(node, location)
        self._open.discard(id(node))
        self._built[id(node)] = built
        return built

    def _build(self, node: Node, location: tuple[str | int, ...]) -> Any:
        if isinstance(node, SequenceNode):
            return [self.value(child, (*location, number)) for number, child in enumerate(node.value)]
        if isinstance(node, MappingNode):
            return self._mapping(node, location)
        try:
            return self._loader.construct_object(node)
        except yaml.YAMLError:
            self._report(node, location, f"the tag {node.tag} means nothing here; write plain text")
        except ValueError:
            self._report(node, location, "isn't what its form promises; put it between quotes")
        return None

    def _mapping(self, node: MappingNode, location: tuple[str | int, ...]) -> dict[str, Any]:
        own: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        lines: dict[str, int] = {}
        for key, child in node.value:
            if key.tag == _MERGE:
                self._merge(child, merged, location)
                continue
            if not isinstance(key, ScalarNode):
                self._report(key, location, "a key must be plain text")
                continue
            name, line = key.value, key.start_mark.line + 1
            if name in own:
                text = f"stands here a second time (first on line {lines[name]}); keep one of them"
                self._report(key, (*location, name), text)
                continue
            lines[name] = line
            own[name] = self.value(child, (*location, name))
        return merged | own

    def _merge(self, node: Node, into: dict[str, Any], location: tuple[str | int, ...]) -> None:
        for source in node.value if isinstance(node, SequenceNode) else [node]:
            value = self.value(source, location)
            if isinstance(value, dict):
                into.update({key: one for key, one in value.items() if key not in into})
            else:
                self._report(source, location, "<< needs a mapping, such as *an_anchor")

    def _report(self, node: Node, location: tuple[str | int, ...], text: str) -> None:
        key = ".".join(str(step) for step in location)
        self.problems.append(Problem(self._path, node.start_mark.line + 1, key, text))
