"""Names and addresses as they are written in the Netherlands."""

from __future__ import annotations

from relayd.edi.model import Address, PersonName


def full_name(name: PersonName) -> str:
    """Title, initials, surname and, in brackets, the given name: "drs. M. van der Dijk - de Peters (Miriam)".

    Who has a partner's name carries it before the own one, as the message gives them: neither is guessed from the
    other or from the sex. Where the sender wrote the surname whole, that has the order which the person chose; what he
    wrote is added in square brackets where it says something else.
    """
    partner = _joined(name.partner_prefix, name.partner)
    own = _joined(name.own_prefix, name.own)
    surname = " - ".join(part for part in (partner, own) if part)
    if surname and partner in name.written and own in name.written:
        surname = name.written
    called = _joined(*(part for part in (name.title, name.initials) if part not in surname.split()), surname)
    if name.given and name.given != name.initials:
        called = _joined(called, f"({name.given})") if surname or name.initials else _joined(called, name.given)
    if not called or name.written in called:
        return called or name.written
    return f"{called} [{name.written}]"


def address_lines(address: Address) -> tuple[str, ...]:
    """Street and number; postal box; postcode and place; region and country, each on a line that has something."""
    lines = (
        _joined(address.street, address.number),
        address.box,
        "  ".join(part for part in (address.postcode, address.city) if part),
        ", ".join(part for part in (address.region, address.country) if part),
    )
    return tuple(line for line in lines if line)


def _joined(*parts: str) -> str:
    return " ".join(part for part in parts if part)
