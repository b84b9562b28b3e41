"""A person's browser, as far as pages without scripts need one: cookies, links, forms with their hidden fields."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from html.parser import HTMLParser
from types import TracebackType
from urllib.parse import urljoin

import httpx


@dataclass
class Form:
    """One form of a page. ``fields`` has what is filled in already; ``buttons`` are the submitting ones."""

    action: str
    method: str
    fields: dict[str, str] = field(default_factory=dict)
    open_fields: list[str] = field(default_factory=list)
    buttons: list[tuple[str, str]] = field(default_factory=list)
    multipart: bool = False


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self.links: list[str] = []
        self.frames: list[str] = []
        self.words: list[str] = []
        self._form: Form | None = None
        self._quiet = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        said = {name: value or "" for name, value in attrs}
        if tag == "form":
            self._form = Form(
                said.get("action", ""),
                said.get("method", "get").upper(),
                multipart=said.get("enctype") == "multipart/form-data",
            )
            self.forms.append(self._form)
        elif tag == "a" and said.get("href"):
            self.links.append(said["href"])
        elif tag == "iframe" and said.get("src"):
            self.frames.append(said["src"])
        elif tag in ("script", "style"):
            self._quiet += 1
        elif tag in ("input", "button", "select", "textarea") and self._form:
            self._field(tag, said)

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._form = None
        elif tag in ("script", "style"):
            self._quiet -= 1

    def handle_data(self, data: str) -> None:
        if not self._quiet and data.strip():
            self.words.append(data.strip())

    def _field(self, tag: str, said: dict[str, str]) -> None:
        assert self._form is not None
        kind = said.get("type", "submit" if tag == "button" else "text")
        name = said.get("name", "")
        if kind in ("submit", "image"):
            self._form.buttons.append((name, said.get("value", "")))
        elif name and kind == "hidden":
            self._form.fields[name] = said.get("value", "")
        elif name and (kind not in ("radio", "checkbox") or "checked" in said):
            self._form.fields[name] = said.get("value", "")
            self._form.open_fields.append(name)


class Browser:
    """Holds one page at a time, the way a person does."""

    def __init__(self, *, verify: str | bool = True, headers: dict[str, str] | None = None) -> None:
        hooks = {"request": [self._add_cookies]}
        self._client = httpx.Client(
            follow_redirects=True, verify=verify, timeout=30, event_hooks=hooks, headers=headers
        )
        self.response: httpx.Response
        self._page = _Page()

    def __enter__(self) -> Browser:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    @property
    def url(self) -> str:
        return str(self.response.url)

    @property
    def cookies(self) -> dict[str, str]:
        return dict(self._client.cookies)

    @property
    def text(self) -> str:
        """What there is to read on the page."""
        return "\n".join(self._page.words)

    @property
    def forms(self) -> list[Form]:
        return self._page.forms

    @property
    def links(self) -> list[str]:
        return [urljoin(self.url, link) for link in self._page.links]

    @property
    def frames(self) -> list[str]:
        return [urljoin(self.url, frame) for frame in self._page.frames]

    def open(self, url: str) -> httpx.Response:
        return self._show(self._client.get(url))

    def submit(self, form: Form, files: Sequence[tuple[str, bytes, str]] = (), **values: str) -> httpx.Response:
        """Send a form with these values; whoever presses Enter presses the first button."""
        fields = {**form.fields, **values}
        if form.buttons and form.buttons[0][0]:
            fields.setdefault(*form.buttons[0])
        target = urljoin(self.url, form.action)
        origin = {"Origin": f"{self.response.url.scheme}://{self.response.url.netloc.decode()}"}
        if form.method == "GET":
            return self._show(self._client.get(target, params=fields))
        if form.multipart:
            # Files by the name of their field; the token stands first, as in the page.
            parts = [(name, (None, value)) for name, value in fields.items()]
            parts += [("file", file) for file in files] or [("file", ("", b"", "application/octet-stream"))]
            return self._show(self._client.post(target, files=parts, headers=origin))
        return self._show(self._client.post(target, data=fields, headers=origin))

    def _add_cookies(self, request: httpx.Request) -> None:
        # Browsers take a loopback address for secure, also without TLS (W3C Secure Contexts §3.1). httpx doesn't.
        if "cookie" not in request.headers and self._client.cookies:
            request.headers["cookie"] = "; ".join(f"{name}={value}" for name, value in self._client.cookies.items())

    def _show(self, response: httpx.Response) -> httpx.Response:
        self.response = response
        self._page = _Page()
        if response.headers.get("content-type", "").startswith("text/html"):
            self._page.feed(response.text)
        return response
