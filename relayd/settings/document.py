"""Writes docs/configuration.md from the settings' own descriptions: ``python -m relayd.settings.document``."""

from __future__ import annotations

import types
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final, Literal, Union, get_args, get_origin

from pydantic import BaseModel, RootModel
from pydantic.fields import FieldInfo

from relayd.settings.models import Configuration
from relayd.settings.organisations import OrganisationsFile
from relayd.settings.policies import PolicySettings
from relayd.settings.registers import DomainbookEntry, NtaRegister
from relayd.settings.values import Size

TARGET: Final = Path("docs/configuration.md")

_HEAD: Final = """\
# Configuration

*This page is generated from the code: `python -m relayd.settings.document`. Change the descriptions there.*

relayd reads one folder (`--config DIR`, else `$RELAYD_CONFIG`, else `/etc/relayd`). `config/` has a commented example.
`relayd check` tells every mistake with file, line and what to write instead; `relayd reload` puts changes in force, or
leaves the old configuration in force and says why.

| file | holds |
|---|---|
| `relayd.yaml` | this installation: listeners, folders, limits |
| `policies.yaml` | the policies, in the order in which they are asked |
| `organisations.yaml` | who takes part, and how their mail servers are recognised |
| `domainbook.yaml` | where the mail of each connected domain goes (may be absent) |
| `nta7516.yaml` | local decisions about domains and NTA 7516 (may be absent) |
| `accounts` | logins, in Dovecot's passwd-file form; written by `relayd account add` (may be absent) |

A relative path counts from this folder. Unknown keys are mistakes. Durations are written `90s`, `20m`, `2h`, `90d`;
sizes `256KiB`, `36MB`. Anchors and merge keys (`<<`) work. Secrets never stand in
YAML: a key names the file that holds them, which must be closed to others.
"""

_ACCOUNTS: Final = """\
## accounts

One login per line, in the form that Dovecot's passwd-file driver reads:

    name:{SCHEME}hash:uid:gid::home::extra fields

`name` is a mail address. `{SCHEME}` is `{ARGON2ID}` or `{SCRAM-SHA-256}`. Among the extra fields, four are relayd's:

| extra field | meaning |
|---|---|
| `userdb_relayd_organisation=ID` | whose account it is (needed) |
| `userdb_relayd_aliases=a@b,c@d` | further addresses that it may send from and receives at |
| `userdb_relayd_edi_numbers=N,M` | its numbers in EDI, for what comes to `edi.gateway` |
| `userdb_relayd_machine=yes` | a mail server's login: may send from all domains of its organisation, has no mailbox |

The prefix `userdb_` makes Dovecot pass them to its user database, which ignores names that it doesn't know. All other
extra fields are Dovecot's own and mean nothing to relayd, so that for instance `nologin` or `allow_nets` doesn't stop a
login on the submission port: take such an account out of the file instead.

## Contacts files

`contacts_file` of an organisation is a CSV of `address,mobile`, the number in international form. A first line
`address,mobile` is a heading, lines that start with `#` are remarks. The numbers are never logged.
"""


def document() -> str:
    """The whole page."""
    parts = [
        _HEAD,
        _file("relayd.yaml", Configuration),
        _file("policies.yaml", PolicySettings, "A list. Each item:"),
        _file("organisations.yaml", OrganisationsFile),
        _file("domainbook.yaml", DomainbookEntry, "A mapping from domain to:"),
        _file("nta7516.yaml", NtaRegister),
        _ACCOUNTS,
    ]
    return "\n".join(parts)


def _file(name: str, model: type[BaseModel], lead: str = "") -> str:
    lines = [f"## {name}", ""]
    lines += [lead, ""] if lead else []
    lines += _table(model)
    told: dict[type[BaseModel], str] = {}
    for path, inner in _sections(model, ""):
        lines += [f"### {path}", "", _purpose(inner), ""]
        lines += [f"The same keys as under {told[inner]}.", ""] if inner in told else _table(inner)
        told.setdefault(inner, path)
    return "\n".join(lines)


def _purpose(model: type[BaseModel]) -> str:
    return " ".join((model.__doc__ or "").split("\n\n")[0].replace("``", "`").split())


def _sections(model: type[BaseModel], prefix: str) -> Iterator[tuple[str, type[BaseModel]]]:
    for name, field in model.model_fields.items():
        inner, shape = _inner_model(field.annotation)
        if inner is not None:
            path = f"{prefix}{name}{shape}"
            yield path, inner
            yield from _sections(inner, f"{path}.")


def _table(model: type[BaseModel]) -> list[str]:
    lines = ["| key | value | default | meaning |", "|---|---|---|---|"]
    for name, field in model.model_fields.items():
        inner, _ = _inner_model(field.annotation)
        meaning = field.description or (_purpose(inner) if inner else "")
        cells = (f"`{name}`", _word(field), _default(field), meaning)
        lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return [*lines, ""]


def _inner_model(annotation: Any) -> tuple[type[BaseModel] | None, str]:
    """The settings class inside ``annotation``, and how it is reached: "" itself, "[]" in a list, ".<key>" in a map."""
    for option in _options(annotation):
        if isinstance(option, type) and issubclass(option, BaseModel) and not issubclass(option, RootModel):
            return option, ""
        if get_origin(option) is tuple:
            inner, shape = _inner_model(get_args(option)[0])
            return inner, f"[]{shape}"
        if get_origin(option) is dict:
            inner, shape = _inner_model(get_args(option)[1])
            return inner, f".<key>{shape}"
    return None, ""


def _options(annotation: Any) -> list[Any]:
    if get_origin(annotation) in (Union, types.UnionType):
        return [option for option in get_args(annotation) if option is not type(None)]
    return [annotation]


_WORDS: Final = {
    str: "text",
    int: "whole number",
    bool: "true or false",
    Path: "path",
    date: "date",
    timedelta: "duration",
}


def _word(field: FieldInfo) -> str:
    if field.annotation is int and _is(field, Size):
        return "size"
    return _type_word(field.annotation)


def _is(field: FieldInfo, alias: Any) -> bool:
    """Whether the field was declared with this annotated type, whose validators pydantic keeps as metadata."""
    validators = {id(one) for one in getattr(alias, "__metadata__", ())}
    return any(id(one) in validators for one in field.metadata)


def _type_word(annotation: Any) -> str:
    options = _options(annotation)
    if len(options) > 1:
        return "network"
    (one,) = options
    if get_origin(one) is Literal:
        return " or ".join(f"`{str(value).lower() if value is True else value}`" for value in get_args(one))
    if get_origin(one) is tuple:
        return f"list of {_plural(get_args(one)[0])}"
    if get_origin(one) is dict:
        return "mapping"
    if hasattr(one, "__metadata__"):
        return _type_word(get_args(one)[0])
    if hasattr(one, "__supertype__"):
        return "domain"
    if isinstance(one, type) and issubclass(one, BaseModel):
        return "mapping"
    return _WORDS.get(one, "text")


def _plural(annotation: Any) -> str:
    word = _type_word(annotation)
    return {"text": "texts", "mapping": "mappings"}.get(word, f"{word}s")


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "needed"
    value = field.default
    if isinstance(value, BaseModel) or value is None or value in ("", (), {}):
        return ""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple):
        return f"`[{', '.join(_scalar(one) for one in value)}]`"
    if isinstance(value, int) and _is(field, Size):
        return f"`{_size(value)}`"
    return f"`{_scalar(value)}`"


def _scalar(value: Any) -> str:
    if not isinstance(value, timedelta):
        return str(value)
    seconds = int(value.total_seconds())
    for unit, letter in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds and seconds % unit == 0:
            return f"{seconds // unit}{letter}"
    return f"{seconds}s"


def _size(value: int) -> str:
    for unit, name in ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
        if value and value % unit == 0:
            return f"{value // unit}{name}"
    return str(value)


if __name__ == "__main__":
    TARGET.write_text(document())
