"""XML of strangers as a small tree: no document type, so no entities; bounded depth, elements and text."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final
from xml.parsers import expat

from relayd.errors import SyntaxInvalid

_DEPTH: Final = 20
_ELEMENTS: Final = 100_000
#: Characters of one element's text: what is longer is cut.
_TEXT: Final = 1_000


@dataclass(slots=True)
class Node:
    """One element: its name without namespace, its own text, its children in order."""

    name: str
    text: str = ""
    children: list[Node] = field(default_factory=list)

    def first(self, name: str) -> Node | None:
        return next((child for child in self.children if child.name == name), None)

    def all(self, name: str) -> list[Node]:
        return [child for child in self.children if child.name == name]

    def word(self, *path: str) -> str:
        """The text of the first element at ``path`` below, "" when there is none."""
        node: Node | None = self
        for name in path:
            node = node.first(name) if node is not None else None
        return node.text.strip() if node is not None else ""


def parse_xml(data: bytes) -> Node:
    """The root element. Raises SyntaxInvalid."""
    reader = _Reader()
    # Namespaces aren't resolved: expat would write one of megabytes in front of each of a hundred thousand names.
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = reader.refuse
    parser.EntityDeclHandler = reader.refuse
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.text
    try:
        parser.Parse(data, True)
    except expat.ExpatError:
        raise SyntaxInvalid("its XML is broken") from None
    except (LookupError, ValueError) as error:  # an encoding that nobody has
        if isinstance(error, SyntaxInvalid):
            raise
        raise SyntaxInvalid("its XML is in an unknown encoding") from None
    return reader.root.children[0]


class _Reader:
    def __init__(self) -> None:
        self.root = Node("")
        self._open = [self.root]
        self._left = _ELEMENTS

    def refuse(self, *_: Any) -> None:
        raise SyntaxInvalid("its XML has a document type")

    def start(self, name: str, _: dict[str, str]) -> None:
        self._left -= 1
        if self._left < 0 or len(self._open) > _DEPTH:
            raise SyntaxInvalid("its XML has too many elements, or too deep ones")
        node = Node(name.rpartition(":")[2])
        self._open[-1].children.append(node)
        self._open.append(node)

    def end(self, _: str) -> None:
        self._open.pop()

    def text(self, text: str) -> None:
        node = self._open[-1]
        if len(node.text) < _TEXT:
            node.text += text[:_TEXT]
