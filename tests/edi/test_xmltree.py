"""XML from strangers: what it says is there, and nothing that it asks for is done."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.edi import xmltree
from relayd.edi.model import Severity
from relayd.edi.xmltree import MAX_DEPTH, MAX_NODES, Node, parse

BOMB = b"""<?xml version="1.0"?><!-- a --><!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;&a;">]><x>&b;</x>"""
XXE = b"""<!DOCTYPE x PUBLIC "-//[//" 'file:///etc/passwd' [<!ENTITY a SYSTEM "file:///etc/passwd">]><x>&a;</x>"""
PARAMETER = b"""<!DOCTYPE x [<!ENTITY % p SYSTEM "http://192.0.2.1/x.dtd"> %p;]><x/>"""
UNENDED = b"""<!DOCTYPE x "[<!ENTITY a 'b'><x>&a;</x>"""
DEEP = b"<!DOCTYPE x [<!ENTITY a0 'x'>" + b"".join(b"<!ENTITY a%d '&a%d;'>" % (n, n - 1) for n in range(1, 50_000))


def root_of(data: bytes, charset: str = "") -> Node:
    tree = parse(data, charset)
    assert tree.root is not None
    return tree.root


@pytest.mark.parametrize(
    "data", [BOMB, XXE, PARAMETER, UNENDED, DEEP + b"]><x>&a49999;</x>", b"\xef\xbb\xbf \n" + BOMB]
)
def test_declarations_are_not_read_and_the_text_stays(data: bytes) -> None:
    tree = parse(data)
    assert tree.root is None
    assert "ENTITY" in tree.rest
    assert [finding.severity for finding in tree.findings] == [Severity.ERROR]


@pytest.mark.parametrize("charset", ["utf-16", "utf-16-le", "utf-16-be"])
def test_declarations_in_another_encoding_are_seen_too(charset: str) -> None:
    assert parse(XXE.decode().encode(charset)).root is None


def test_a_document_type_without_declarations_is_only_a_name() -> None:
    data = b"""<!DOCTYPE note PUBLIC "-//A//" "http://192.0.2.1/[x].dtd"><note>a&nbsp;b</note>"""
    assert root_of(data).text == "a&nbsp;b"


def test_text_that_looks_like_a_document_type_is_text() -> None:
    data = b"<x><![CDATA[<!DOCTYPE x [<!ENTITY a 'b'>]>]]></x>"
    assert root_of(data).text == "<!DOCTYPE x [<!ENTITY a 'b'>]>"


def test_comments_and_instructions_are_kept_where_they_stood() -> None:
    root = root_of(b"<x>a<!--note-->b<?do this?><y/></x>")
    named = [child if isinstance(child, str) else (child.name, child.text) for child in root.children]
    assert named == ["a", ("#comment", "note"), "b", ("#instruction", "do this"), ("y", "")]
    assert [node.name for node in root.nodes] == ["y"]


def test_depth_is_bounded_and_what_is_beyond_stays_text() -> None:
    tree = parse(b"<a>" * (MAX_DEPTH + 5) + b"text")
    assert tree.root is not None
    assert tree.rest == "<a>" * 5 + "text"
    assert tree.findings[-1].severity is Severity.ERROR


def test_the_number_of_elements_is_bounded() -> None:
    tree = parse(b"<a>" + b"<b/>" * (MAX_NODES + 5) + b"</a>")
    assert tree.root is not None
    assert len(tree.root.nodes) == MAX_NODES - 1
    assert tree.rest == "<b/>" * 6 + "</a>"


def test_what_ends_early_is_read_as_far_as_it_goes() -> None:
    tree = parse(b"<a><b>one</b>\n<c>two & three</c></a>")
    assert tree.root is not None
    assert [node.name for node in tree.root.nodes] == ["b", "c"]
    assert "three" in tree.rest
    assert tree.findings[0].place.line == 2


def test_text_behind_the_end_is_kept() -> None:
    tree = parse(b"<a/>\n-- \nfooter of a mail")
    assert tree.root is not None
    assert "footer of a mail" in tree.rest
    assert tree.findings[0].severity is Severity.WARNING


@pytest.mark.parametrize(
    ("data", "charset"),
    [
        ("<x>é</x>".encode(), "utf-8"),
        ("<?xml version='1.0' encoding='ISO-8859-1'?><x>é</x>".encode("latin-1"), "iso8859-1"),
        ("<?xml version='1.0' encoding='windows-1252'?><x>é</x>".encode("cp1252"), "cp1252"),
        ("<x>é</x>".encode("utf-16"), "utf-16"),
        ("<?xml version='1.0' encoding='utf-16'?><x>é</x>".encode("utf-16-le"), "utf-16-le"),
        ("\ufeff<x>é</x>".encode(), "utf-8-sig"),
    ],
)
def test_the_character_set_is_the_declared_one(data: bytes, charset: str) -> None:
    tree = parse(data)
    assert tree.root is not None
    assert (tree.root.text, tree.charset, tree.findings) == ("é", charset, ())


@pytest.mark.parametrize("declared", ["utf-8", "x-unknown", "us-ascii", "hex", "rot13"])
def test_a_wrong_declaration_is_found_and_the_text_read(declared: str) -> None:
    tree = parse(f"<?xml version='1.0' encoding='{declared}'?><x>é</x>".encode("latin-1"))
    assert tree.root is not None
    assert tree.root.text == "é"
    assert tree.findings[0].severity is Severity.WARNING


def test_undeclared_prefixes_do_no_harm() -> None:
    root = root_of(b"<v2:a xmlns='urn:x'><w:b w:c='d'/></v2:a>")
    assert (root.local, root.nodes[0].local, root.nodes[0].attributes) == ("a", "b", {"w:c": "d"})


@given(st.binary())
def test_any_octets_give_a_tree_or_text(data: bytes) -> None:
    for octets in (data, b"<" + data, b"<x>" + data, b"<!DOCTYPE x " + data, b"<?xml encoding='" + data):
        tree = parse(octets)
        assert tree.root is not None or tree.rest or not octets.strip() or tree.findings


@given(st.text())
def test_text_comes_back_from_what_was_written(text: str) -> None:
    data = f"<x{xmltree.write_attributes({'a': text})}>{xmltree.write_text(text)}</x>".encode()
    root = root_of(data)
    expected = "".join(character if xmltree.allowed(character) else "\ufffd" for character in text)
    assert (root.text, root.attributes["a"]) == (expected, expected)
