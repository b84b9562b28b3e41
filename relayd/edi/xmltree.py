"""XML from strangers, as a tree: no entities of its own, nothing fetched, bounded in depth and size.

Expat does no input or output by itself, and a document whose DOCTYPE brings declarations never reaches it: that alone
ends entity bombs, external entities and parameter entities. What can't be parsed stays text. Prefixes stay in the
names as they were written: senders forget to declare them.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final
from xml.parsers import expat
from xml.sax.saxutils import escape

from relayd.edi import charset
from relayd.edi.model import Finding, Place, Severity

#: Elements inside each other; letters and results need about 20.
MAX_DEPTH: Final = 100
#: Elements, comments and instructions of one document.
MAX_NODES: Final = 200_000
#: A larger gap between positions is a mistake, and all the empty ones in it would cost memory.
MOST_SKIPPED: Final = 200

COMMENT: Final = "#comment"
INSTRUCTION: Final = "#instruction"

_DECLARED = re.compile(rb"""\s*<\?xml\s[^>]{0,200}?encoding\s*=\s*["']([A-Za-z][A-Za-z0-9._-]{0,40})["']""")
_BEFORE_ROOT = re.compile(r"[\ufeff \t\r\n]+|<\?.*?\?>|<!--.*?-->", re.DOTALL)
_LITERAL = re.compile(r"""["'\[>]""")
_POSITION = re.compile(r"\.0*([0-9]{1,7})\Z")
# XML 1.0 §2.2. Tab and line ends are written as references, since a parser would change them (§2.11, §3.3.3).
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_ATTRIBUTE = {'"': "&quot;", "\t": "&#9;", "\n": "&#10;", "\r": "&#13;"}
_TEXT = {"\r": "&#13;"}


@dataclass(slots=True, eq=False)
class Node:
    """An element. ``children`` has text between elements where it stood. A comment's or a processing instruction's
    name starts with ``#``."""

    name: str
    attributes: Mapping[str, str] = field(default_factory=dict)
    children: list[Node | str] = field(default_factory=list)
    line: int = 0

    @property
    def local(self) -> str:
        """The name without its prefix."""
        return self.name.rpartition(":")[2]

    @property
    def nodes(self) -> list[Node]:
        """The elements inside, without comments and instructions."""
        return [child for child in self.children if isinstance(child, Node) and child.name[0] != "#"]

    @property
    def text(self) -> str:
        """The text directly inside."""
        return "".join(child for child in self.children if isinstance(child, str))

    @property
    def position(self) -> int:
        """The number at the end of its name ("PID.03.2"); 0 where there is none."""
        match = _POSITION.search(self.name)
        return int(match[1]) if match else 0


@dataclass(frozen=True, slots=True)
class Tree:
    """What parsing found. ``root`` is None where nothing could be read; ``rest`` is the text from where it ended."""

    root: Node | None
    charset: str
    rest: str = ""
    findings: tuple[Finding, ...] = ()


class _TooMuch(Exception):
    """A limit was reached."""


def parse(data: bytes, declared: str = "") -> Tree:
    """The tree of ``data``; ``declared`` is the character set that the mail names. Never raises."""
    text, name, findings = _decode(data, declared)
    if _declares(text):
        refused = Finding(Severity.ERROR, "The XML brings its own declarations (DTD), which are not read")
        return Tree(None, name, text, (*findings, refused))
    root, rest, ended = _Builder().build(text.encode("utf-8", "replace"))
    return Tree(root, name, rest, findings if ended is None else (*findings, ended))


def _decode(data: bytes, declared: str) -> tuple[str, str, tuple[Finding, ...]]:
    """The text, its character set as Python names it, and findings. XML 1.0 §4.3.3 and appendix F."""
    for mark, name in (
        (codecs.BOM_UTF8, "utf-8-sig"),
        (codecs.BOM_UTF16_LE, "utf-16"),
        (codecs.BOM_UTF16_BE, "utf-16"),
    ):
        if data.startswith(mark):
            return _strict(data, name) or charset_of(data, declared)
    for start, name in ((b"<\0", "utf-16-le"), (b"\0<", "utf-16-be")):
        if data.startswith(start):
            return _strict(data, name) or charset_of(data, declared)
    match = _DECLARED.match(data[:400])
    named = match[1].decode() if match else "utf-8"
    return _strict(data, named) or charset_of(data, declared)


def _strict(data: bytes, name: str) -> tuple[str, str, tuple[Finding, ...]] | None:
    try:
        return data.decode(name), codecs.lookup(name).name, ()
    except (LookupError, ValueError):
        return None


def charset_of(data: bytes, declared: str) -> tuple[str, str, tuple[Finding, ...]]:
    """As any other EDI is decoded, where the XML's own word on its character set doesn't hold."""
    text, name, findings = charset.decode(data, declared)
    wrong = Finding(Severity.WARNING, "The XML is not in the character set that it declares")
    return text, name, (wrong, *findings)


def _declares(text: str) -> bool:
    """Whether a DOCTYPE with declarations of its own stands before the root element."""
    at = 0
    while match := _BEFORE_ROOT.match(text, at):
        at = match.end()
    return text[at : at + 9].upper() == "<!DOCTYPE" and _has_subset(text, at)


def _has_subset(text: str, at: int) -> bool:
    """Whether the DOCTYPE at ``at`` has an internal subset; one that doesn't end counts as having one."""
    while match := _LITERAL.search(text, at):
        if match[0] in "[>":
            return match[0] == "["
        at = text.find(match[0], match.end()) + 1
        if at == 0:
            return True
    return True


class _Builder:
    """Builds the tree of one document."""

    def __init__(self) -> None:
        self._parser = expat.ParserCreate("utf-8")
        self._parser.buffer_text = True
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._text
        self._parser.SkippedEntityHandler = self._entity
        self._parser.CommentHandler = lambda text: self._aside(COMMENT, text)
        self._parser.ProcessingInstructionHandler = lambda name, text: self._aside(INSTRUCTION, f"{name} {text}")
        self._root: Node | None = None
        self._open: list[Node] = []
        self._count = 0
        self._stopped = 0

    def build(self, data: bytes) -> tuple[Node | None, str, Finding | None]:
        """The root, the text that wasn't read, and why."""
        try:
            self._parser.Parse(data, True)
        except _TooMuch:
            finding = Finding(Severity.ERROR, "The XML is nested too deeply or has too many elements")
            return self._root, data[self._stopped :].decode("utf-8", "replace"), finding
        except expat.ExpatError as error:
            # What is still buffered comes out now.
            self._parser.buffer_text = False
            line = Place(line=error.lineno)
            at = max(self._parser.ErrorByteIndex, 0)
            rest = data[at:].decode("utf-8", "replace")
            reason = expat.errors.messages.get(error.code, "")
            text = "This is not well-formed XML from line %(line)s on (%(reason)s)"
            if reason == expat.errors.XML_ERROR_JUNK_AFTER_DOC_ELEMENT:
                return self._root, rest, Finding(Severity.WARNING, "Text stands behind the end of the XML", line)
            finding = Finding(Severity.ERROR, text, line, {"line": str(error.lineno), "reason": reason})
            return self._root, rest, finding
        return self._root, "", None

    def _add(self, node: Node) -> None:
        self._count += 1
        if self._count > MAX_NODES or len(self._open) >= MAX_DEPTH:
            self._stopped = self._parser.CurrentByteIndex
            raise _TooMuch
        if self._open:
            self._open[-1].children.append(node)

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        node = Node(name, attributes, [], self._parser.CurrentLineNumber)
        self._add(node)
        if self._root is None:
            self._root = node
        self._open.append(node)

    def _end(self, _name: str) -> None:
        self._open.pop()

    def _text(self, text: str) -> None:
        if self._open:
            self._open[-1].children.append(text)

    def _entity(self, name: str, is_parameter: bool) -> None:
        if not is_parameter:
            self._text(f"&{name};")

    def _aside(self, kind: str, text: str) -> None:
        self._add(Node(kind, {}, [text], self._parser.CurrentLineNumber))


def allowed(text: str) -> bool:
    """Whether XML 1.0 can hold ``text`` at all (§2.2)."""
    return not _FORBIDDEN.search(text)


def write_text(text: str) -> str:
    """``text`` as character data that a parser gives back unchanged; what XML can't hold becomes U+FFFD."""
    return escape(_FORBIDDEN.sub("\ufffd", text), _TEXT)


def write_attributes(attributes: Mapping[str, str]) -> str:
    """`` name="value"`` for each, with a space in front."""
    return "".join(
        f' {name}="{escape(_FORBIDDEN.sub(chr(0xFFFD), value), _ATTRIBUTE)}"' for name, value in attributes.items()
    )


def leaves(node: Node) -> Iterator[tuple[str, str]]:
    """Every text and attribute in a node as (path below it, value); "" is the node's own text."""
    stack = [(node, "")]
    while stack:
        node, path = stack.pop()
        yield from ((f"{path}@{name}", value) for name, value in node.attributes.items())
        if node.text.strip():
            yield path.rstrip("/"), node.text
        inner = [child for child in node.children if isinstance(child, Node)]
        stack.extend((child, f"{path}{child.local}/") for child in reversed(inner))
