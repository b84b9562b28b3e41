"""A part that goes by more names than anyone would give it."""

from __future__ import annotations

from relayd.mail.mime import MOST_NAMES, MimeScanner


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


def test_a_name_longer_than_any_system_takes_is_cut_from_the_front_and_a_defect() -> None:
    scanner = MimeScanner()
    scanner.feed(b'Content-Disposition: attachment; filename="' + b"n" * 60_000 + b'.exe"\r\n\r\nx')
    (part,) = scanner.finish()
    assert part.names == ("n" * 508 + ".exe",)
    assert "name-too-long" in part.defects


def test_all_names_together_are_bounded() -> None:
    part = b'--b\r\nContent-Disposition: attachment; filename="' + b"n" * 500 + b'.txt"\r\n\r\n\r\n'
    scanner = MimeScanner()
    scanner.feed(b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + part * 1500)
    parts = scanner.finish()
    assert sum(len(name) for part in parts for name in part.names) <= MOST_NAMES
    assert "too-many-parts" in parts[0].defects
