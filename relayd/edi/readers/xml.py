"""Reads XML: EDIFACT and HL7 in their XML forms as the messages that they are, anything else as a tree.

Nothing raises: what can't be parsed is there as text, with a finding that says where parsing ended. Places in a
message count its segments; their lines are those of the message without the XML.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from relayd.edi import edifact_xml, v2xml, xmltree
from relayd.edi.model import (
    Document,
    Element,
    Finding,
    Format,
    Kind,
    Place,
    Reading,
    Text,
    Unread,
)
from relayd.edi.readers import edifact, hl7
from relayd.edi.xmltree import Node, Tree


def read(data: bytes, charset: str = "") -> Reading:
    """What ``data`` says; ``charset`` is what its mail part declares, or ""."""
    tree = xmltree.parse(data, charset)
    form = form_of(tree)
    if form is Format.XML or tree.root is None:
        return _as_tree(tree, len(data))
    octets, findings = _octets(tree.root, form)
    declared = tree.root.attributes.get("charset", "")
    inner = edifact.read(octets, declared) if form is Format.EDI_XML else hl7.read(octets)
    documents = tuple(replace(document, format=form, start=0, end=len(data)) for document in inner.documents)
    if not documents:
        return _as_tree(tree, len(data), findings)
    outside = (*inner.outside, *_rest(tree))
    return Reading(form, documents, tree.charset, (*tree.findings, *findings, *inner.findings), outside, inner.envelope)


def check(data: bytes, charset: str = "") -> list[Finding]:
    """Every finding, those of the message inside too."""
    tree = xmltree.parse(data, charset)
    form = form_of(tree)
    if form is Format.XML or tree.root is None:
        return list(tree.findings)
    octets, findings = _octets(tree.root, form)
    inner = edifact.check(octets) if form is Format.EDI_XML else hl7.check(octets)
    return [*tree.findings, *findings, *inner]


def form_of(tree: Tree) -> Format:
    """Which XML it is."""
    if tree.root is None:
        return Format.XML
    if tree.root.local in edifact_xml.ROOTS:
        return Format.EDI_XML
    return Format.V2_XML if v2xml.is_v2(tree.root) else Format.XML


def _octets(root: Node, form: Format) -> tuple[bytes, tuple[Finding, ...]]:
    return edifact_xml.from_xml(root) if form is Format.EDI_XML else v2xml.from_xml(root)


def _as_tree(tree: Tree, length: int, findings: Sequence[Finding] = ()) -> Reading:
    """Each child of the root is a segment, and every text and attribute in it a value with its path."""
    root = tree.root
    if root is None:
        return Reading(Format.XML, (), tree.charset, tree.findings, _rest(tree))
    own = [Element(f"@{name}", "", value) for name, value in root.attributes.items()]
    own += [Element("", "", child) for child in root.children if isinstance(child, str) and child.strip()]
    blocks = [Unread(root.local, "", tuple(own), place=Place(root.line, tag=root.local))] if own else []
    for number, node in enumerate((child for child in root.children if isinstance(child, Node)), 1):
        elements = tuple(Element(path, "", value) for path, value in xmltree.leaves(node))
        blocks.append(Unread(node.local, "", elements, place=Place(node.line, number, node.local)))
    document = Document(Format.XML, Kind.UNKNOWN, root.local, blocks=tuple(blocks), end=length)
    return Reading(Format.XML, (document,), tree.charset, (*tree.findings, *findings), _rest(tree))


def _rest(tree: Tree) -> tuple[Text, ...]:
    return (Text(tuple(tree.rest.splitlines())),) if tree.rest.strip() else ()
