"""A part that goes by more names than anyone would give it."""

from __future__ import annotations

from relayd.mail.mime import MimeScanner


def test_names_are_bounded_and_their_excess_is_a_defect() -> None:
    names = "".join(f';\r\n name*{number}="x"; filename="n{number}.txt"' for number in range(40))
    scanner = MimeScanner()
    scanner.feed(f"Content-Type: application/octet-stream{names}\r\n\r\nAAAA\r\n".encode())
    (part,) = scanner.finish()
    assert len(part.names) == 16
    assert "too-many-names" in part.defects


def test_a_few_names_are_all_kept() -> None:
    scanner = MimeScanner()
    scanner.feed(b'Content-Type: text/plain; name="a.exe"\r\nContent-Disposition: attachment; filename=b.txt\r\n\r\nx')
    (part,) = scanner.finish()
    assert sorted(part.names) == ["a.exe", "b.txt"]
    assert "too-many-names" not in part.defects
