"""An organisation's contacts file: ``address,mobile`` per line, the numbers that the Viewer's codes may go to.

The numbers are private: no problem, log or repr ever quotes one.
"""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

from relayd.errors import Problem, SyntaxInvalid
from relayd.mail.address import parse_address

_E164 = re.compile(r"\+[1-9][0-9]{6,14}")


def read_contacts(path: Path) -> tuple[dict[str, str], list[Problem]]:
    """Address key → E.164 number. A first line ``address,mobile`` is a heading; ``#`` starts a remark."""
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        said = error.strerror if isinstance(error, OSError) else "is not UTF-8"
        return {}, [Problem(path, None, "", f"can't be read: {said}")]
    contacts: dict[str, str] = {}
    problems: list[Problem] = []
    reader = csv.reader(io.StringIO(text, newline=""), skipinitialspace=True)
    try:
        rows = [(reader.line_num, row) for row in reader]
    except csv.Error:
        return {}, [Problem(path, reader.line_num, "", "isn't CSV: expected address,mobile on each line")]
    for number, row in rows:
        if not row or row[0].startswith("#") or [cell.strip().lower() for cell in row] == ["address", "mobile"]:
            continue
        try:
            key, mobile = _entry(row)
            if key in contacts:
                raise SyntaxInvalid("this address stands in the file twice; keep one of the lines")
            contacts[key] = mobile
        except SyntaxInvalid as error:
            problems.append(Problem(path, number, "", str(error)))
    return contacts, problems


def _entry(row: list[str]) -> tuple[str, str]:
    if len(row) != 2:
        raise SyntaxInvalid("expected two fields: address,mobile")
    try:
        address = parse_address(row[0].strip())
    except SyntaxInvalid:
        raise SyntaxInvalid("the first field must be a mail address") from None
    number = row[1].translate(str.maketrans("", "", " -()"))
    if not _E164.fullmatch(number):
        raise SyntaxInvalid("the second field must be a mobile number in international form: + and the country code")
    return address.key, number
