"""From a template and values to a page in the reader's language."""

from __future__ import annotations

import re
from functools import cache
from typing import Any, Final
from urllib.parse import urlencode

import jinja2
from starlette.requests import Request
from starlette.responses import HTMLResponse

from relayd.delivery.installation import InstallationSecrets
from relayd.delivery.notices import display_name
from relayd.directory.directory import Organisation
from relayd.store.viewer_tables import Grant
from viewer_web.language import LANGUAGES, Format, language_of, load_catalogue
from viewer_web.reading import kind_of
from viewer_web.security import cookie_of, form_token, new_cookie, set_cookie
from viewer_web.services import Services

_POSTED: Final = re.compile(r"(?P<page>/(?:v|g|s|follow)/[\w-]+)(?:/(?P<step>\w+))?(?:/\w+)?", re.ASCII)
#: The steps behind a message's address that are pages.
_PAGES: Final = {"code", "reply", "forward"}


class Pages:
    """Renders every page. One environment per language, made once."""

    def __init__(self, services: Services, secrets: InstallationSecrets) -> None:
        self._services = services
        self._secrets = secrets
        self._catalogues = {language: load_catalogue(language) for language in LANGUAGES}
        self._environments = {language: _environment(language) for language in LANGUAGES}

    def words(self, language: str, text: str) -> str:
        """One sentence in this language."""
        return self._catalogues[language].gettext(text)

    def format(self, language: str) -> Format:
        """Dates and sizes as this language writes them."""
        return Format(language, self._services.configuration.viewer.time_zone)

    async def form(
        self, request: Request, template: str, grant: Grant | None = None, *, status: int = 200, **values: Any
    ) -> HTMLResponse:
        """A page with forms: each names its path through ``form_token(path)``, and the browser gets its cookie."""
        cookie = cookie_of(request)
        fresh = None if cookie else new_cookie(self._services)
        paths: tuple[str, ...] = values.pop("forms")
        tokens = {path: await form_token(self._secrets, cookie or fresh or "", path) for path in paths}
        page = self.page(request, template, grant, status=status, tokens=tokens, **values)
        if fresh:
            set_cookie(page, fresh)
        return page

    def page(
        self, request: Request, template: str, grant: Grant | None = None, *, status: int = 200, **values: Any
    ) -> HTMLResponse:
        language = language_of(request, grant.language if grant else None)
        chosen = "lang" in request.query_params
        owner = grant.organisation if grant else values.pop("organisation_id", "")
        organisation = self._services.organisation(owner) if owner else None

        look, logo = look_of(organisation)

        def address(path: str, **query: str) -> str:
            if chosen:
                query.setdefault("lang", language)
            return f"{path}?{urlencode(query)}" if query else path

        def in_language(code: str) -> str:
            return f"{_place(request)}?{urlencode({**request.query_params, 'lang': code})}"

        html = (
            self._environments[language]
            .get_template(template)
            .render(
                language=language,
                languages=LANGUAGES,
                path=request.url.path,
                in_language=in_language,
                address=address,
                format=self.format(language),
                now=self._services.clock.now(),
                service=self._services.configuration.viewer.service_name,
                organisation=display_name(organisation) if organisation else "",
                contact=_unbroken(organisation.settings.contact) if organisation else "",
                grant=grant,
                look=look,
                logo=logo,
                kinds=lambda kind: self.words(language, kind_of(kind)),
                **values,
            )
        )
        return HTMLResponse(html, status)


def look_of(organisation: Organisation | None) -> tuple[str, str]:
    """The addresses of its style sheet and logo, "" where it has none."""
    if organisation is None:
        return "", ""
    settings = organisation.settings
    style = f"/look/{organisation.id}.css?v={settings.colour[1:]}" if settings.colour else ""
    return style, f"/look/{organisation.id}/logo" if settings.logo is not None else ""


def _place(request: Request) -> str:
    """Where the language links of this page lead, in front of their query: "" for the address that the browser is at.

    An address taken from the request could lead elsewhere ("//evil.example"), so that only a page which answers a POST
    names one: its own may show nothing when it is followed.
    """
    found = _POSTED.fullmatch(request.url.path) if request.method == "POST" else None
    if found is None:
        return ""
    step = "code" if found["step"] == "resend" else found["step"]
    return f"{found['page']}/{step}" if step in _PAGES else found["page"]


@cache
def _environment(language: str) -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("viewer_web"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        extensions=["jinja2.ext.i18n"],
        trim_blocks=True,
        lstrip_blocks=True,
    )
    catalogue = load_catalogue(language)
    environment.install_gettext_callables(  # type: ignore[attr-defined]  # the i18n extension adds it
        catalogue.gettext, catalogue.ngettext, newstyle=True
    )
    return environment


def _unbroken(text: str) -> str:
    """So that a telephone number stays on one line."""
    return re.sub(r"(?<=\d) (?=\d)", "\N{NO-BREAK SPACE}", text)
