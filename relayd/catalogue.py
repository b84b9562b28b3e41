"""Catalogues of translations, read from .po files: there is no compiled form to keep in step."""

from __future__ import annotations

import gettext
import io
from pathlib import Path

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po


def read_catalogue(file: Path) -> gettext.GNUTranslations:
    """The words of a .po file."""
    with file.open("rb") as opened:
        catalogue = read_po(opened)
    compiled = io.BytesIO()
    write_mo(compiled, catalogue)
    compiled.seek(0)
    return gettext.GNUTranslations(compiled)
