"""The accounts file: logins in Dovecot's passwd-file form, one per line, so that Dovecot can read the same file.

::

    name:{SCHEME}hash:uid:gid::home::extra fields
    extra fields: userdb_relayd_organisation=ID userdb_relayd_aliases=a@b,c@d userdb_relayd_machine=yes
                  userdb_relayd_edi_numbers=N,M

relayd's own facts stand among the extra fields. Their ``userdb_`` prefix makes Dovecot hand them to its user database,
where it takes names that it doesn't know for settings of plugins it doesn't have. Extra fields that relayd doesn't know
are Dovecot's, and kept. Empty lines and lines that start with ``#`` are skipped.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from relayd.errors import Problem, SyntaxInvalid
from relayd.mail.address import Address, parse_address

#: Password schemes that relayd can check; Dovecot knows both.
SCHEMES: Final = ("ARGON2ID", "SCRAM-SHA-256")

_ORGANISATION = "userdb_relayd_organisation"
_ALIASES = "userdb_relayd_aliases"
_MACHINE = "userdb_relayd_machine"
_EDI_NUMBERS = "userdb_relayd_edi_numbers"
_OURS = (_ORGANISATION, _ALIASES, _MACHINE, _EDI_NUMBERS)
_VERIFIER = re.compile(r"\{([A-Za-z0-9.-]+)\}\S+")


@dataclass(frozen=True, slots=True)
class AccountLine:
    """One login as it stands in the file. ``verifier`` is "{SCHEME}hash"; ``kept`` are fields that aren't ours."""

    name: Address
    verifier: str
    organisation: str
    aliases: tuple[Address, ...] = ()
    machine: bool = False
    edi_numbers: tuple[str, ...] = ()
    uid: str = ""
    gid: str = ""
    home: str = ""
    kept: tuple[str, ...] = ()
    line: int = 0

    def __repr__(self) -> str:
        return f"AccountLine({self.name.key})"

    def __str__(self) -> str:
        extra = [f"{_ORGANISATION}={self.organisation}"]
        if self.aliases:
            extra.append(f"{_ALIASES}={','.join(str(alias) for alias in self.aliases)}")
        if self.machine:
            extra.append(f"{_MACHINE}=yes")
        if self.edi_numbers:
            extra.append(f"{_EDI_NUMBERS}={','.join(self.edi_numbers)}")
        fields = (self.name.key, self.verifier, self.uid, self.gid, "", self.home, "", " ".join([*extra, *self.kept]))
        return ":".join(fields)


def read_accounts(path: Path) -> tuple[list[AccountLine], list[Problem]]:
    """The logins in ``path``, and what is wrong with it. No verifier is ever quoted in a problem."""
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        said = error.strerror if isinstance(error, OSError) else "is not UTF-8"
        return [], [Problem(path, None, "", f"can't be read: {said}")]
    lines: list[AccountLine] = []
    problems: list[Problem] = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        try:
            lines.append(parse_line(line, number))
        except SyntaxInvalid as error:
            problems.append(Problem(path, number, "", str(error)))
    return lines, problems


def parse_line(line: str, number: int = 0) -> AccountLine:
    """One line of the file; raises SyntaxInvalid with what was expected."""
    fields = line.split(":", 7)
    if len(fields) != 8:
        raise SyntaxInvalid("expected name:{SCHEME}hash:uid:gid::home::extra_fields, eight fields between colons")
    name, verifier, uid, gid, _gecos, home, _shell, extra = fields
    scheme = _VERIFIER.fullmatch(verifier)
    if not scheme or scheme[1].upper() not in SCHEMES:
        raise SyntaxInvalid(f"expected {{{SCHEMES[0]}}} or {{{SCHEMES[1]}}} and a hash; use relayd account add")
    ours: dict[str, str] = {}
    kept: list[str] = []
    for word in extra.split():
        key, _, value = word.partition("=")
        if key in _OURS:
            ours[key] = value
        elif key.startswith("userdb_relayd_"):
            raise SyntaxInvalid(f"{key} is unknown; known are {', '.join(_OURS)}")
        else:
            kept.append(word)
    if not ours.get(_ORGANISATION):
        raise SyntaxInvalid(f"the extra fields need {_ORGANISATION}=ID, the organisation of this account")
    return AccountLine(
        name=_address(name, "the name"),
        verifier=verifier,
        organisation=ours[_ORGANISATION],
        aliases=tuple(_address(alias, _ALIASES) for alias in ours.get(_ALIASES, "").split(",") if alias),
        machine=_yes(ours.get(_MACHINE, "no")),
        edi_numbers=tuple(number for number in ours.get(_EDI_NUMBERS, "").split(",") if number),
        uid=uid,
        gid=gid,
        home=home,
        kept=tuple(kept),
        line=number,
    )


def _address(text: str, what: str) -> Address:
    try:
        return parse_address(text)
    except SyntaxInvalid:
        raise SyntaxInvalid(f"{what} must be a mail address such as someone@clinic.example") from None


def _yes(value: str) -> bool:
    if value not in ("yes", "no"):
        raise SyntaxInvalid(f"{_MACHINE} is yes or no")
    return value == "yes"
