"""A reading as HTML, text or PDF.

HTML comes from ``message.html`` and ``style.css`` in this package, or from an organisation's own folder: a file of
the same name there takes the place of ours. Such a template sees a :class:`relayd.edi.view.ReadingShown` in a
sandbox. One that can't be used costs nobody a message: ours is used, and a finding says so.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment

from relayd.edi import plain_text
from relayd.edi.model import Finding, Reading, Severity
from relayd.edi.presenting import present
from relayd.edi.words import Words, words_of
from relayd.rendering.renderer import Renderer
from relayd.rendering.wire import Variant

__all__ = ["OURS", "Page", "Pdfs", "Templates", "Variant", "html", "text"]

_PAGE: Final = "message.html"
_FILES: Final = (_PAGE, "style.css")
_FOLDER: Final = Path(__file__).parent / "templates"
#: Octets of finished PDFs that are kept, in memory.
_KEPT: Final = 32 * 2**20


@dataclass(frozen=True, slots=True)
class Page:
    """A finished page. ``findings`` say what went wrong with a template, not what is wrong with the message."""

    html: str
    findings: tuple[Finding, ...] = ()


class Templates:
    """The templates of one organisation: those in ``folder``, ours for what isn't there.

    They are read once, when this is made; ``version`` changes with their content.
    """

    def __init__(self, folder: Path | None = None) -> None:
        own = {name: _read(folder / name) for name in _FILES if folder and (folder / name).is_file()}
        self._sources = {name: (_FOLDER / name).read_text("utf-8") for name in _FILES} | own
        self._sandboxed = bool(own)
        self._made: dict[str, jinja2.Template] = {}
        digest = hashlib.sha256()
        for name in _FILES:
            digest.update(self._sources[name].encode() + b"\0")
        self.version = digest.hexdigest()[:16]

    def page(self, reading: Reading, words: Words) -> str:
        """The page; jinja2.TemplateError and whatever else a template of somebody else can raise."""
        if (template := self._made.get(words.language)) is None:
            template = self._made[words.language] = self._environment(words).get_template(_PAGE)
        return template.render(reading=present(reading, words), language=words.language)

    def _environment(self, words: Words) -> jinja2.Environment:
        kind = ImmutableSandboxedEnvironment if self._sandboxed else jinja2.Environment
        environment = kind(
            loader=jinja2.DictLoader(self._sources),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        environment.globals["_"] = words.gettext
        return environment


def _read(file: Path) -> str:
    return file.read_bytes().decode("utf-8", "replace")


#: The templates of this package.
OURS: Final = Templates()


def html(reading: Reading, language: str, templates: Templates = OURS) -> Page:
    """``reading`` as a page that needs nothing else, in ``language`` ("nl", "en")."""
    words = words_of(language)
    try:
        return Page(templates.page(reading, words))
    except Exception as error:  # whatever somebody's template does, the message is shown
        if templates is OURS:
            raise
        unusable = Finding(
            Severity.WARNING, "The organisation's template can't be used: %(reason)s", values={"reason": _reason(error)}
        )
        return Page(OURS.page(reading, words), (unusable,))


def _reason(error: Exception) -> str:
    """What is wrong with a template, without what the message says: a class, and where it is known the place."""
    name = type(error).__name__
    if isinstance(error, jinja2.TemplateSyntaxError):
        return f"{name}, {error.name or _PAGE}, line {error.lineno}"
    return name


def text(reading: Reading, language: str) -> str:
    """``reading`` as plain text in ``language``."""
    words = words_of(language)
    return plain_text.write(present(reading, words), words)


class Pdfs:
    """Makes PDFs of readings, and keeps the last ones: the same message with the same templates is made once."""

    def __init__(self, renderer: Renderer) -> None:
        self._renderer = renderer
        self._kept: OrderedDict[tuple[str, ...], bytes] = OrderedDict()
        self._size = 0

    async def make(
        self,
        reading: Reading,
        original: bytes,
        language: str,
        name: str = "message.edi",
        templates: Templates = OURS,
        variant: Variant = Variant.PDF_A,
    ) -> bytes:
        """The PDF of ``reading``, which was read from ``original``.

        PDF/A-3a has the original inside as ``name`` (relationship Source); PDF/UA-1 has nothing inside. Raises
        NotRendered when the renderer can't, or not within its limits.
        """
        key = (hashlib.sha256(original).hexdigest(), templates.version, language, name, variant.value)
        if (kept := self._kept.get(key)) is not None:
            self._kept.move_to_end(key)
            return kept
        page = html(reading, language, templates)
        inside = original if variant is Variant.PDF_A else b""
        made = await self._renderer.make_pdf(page.html, inside, name, variant)
        self._keep(key, made)
        return made

    def _keep(self, key: tuple[str, ...], made: bytes) -> None:
        self._size += len(made) - len(self._kept.pop(key, b""))
        self._kept[key] = made
        while self._size > _KEPT:
            self._size -= len(self._kept.popitem(last=False)[1])
