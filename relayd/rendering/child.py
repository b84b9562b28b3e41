"""The rendering process: ``python -m relayd.rendering.child FD``. Started and ended by the renderer.

It uses no network and opens no file but fonts, keeps nothing between two requests, and expects to be killed at any
moment.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import io
import os
import re
import resource
import socket
import sys
from collections.abc import Callable
from functools import cache, lru_cache
from pkgutil import resolve_name
from typing import Any, Final

from relayd.dumps import forbid_core_dumps
from relayd.pipeline.verdict import TRANSFORMS
from relayd.rendering.sanitise import sanitise
from relayd.rendering.wire import (
    LENGTH,
    Answer,
    Clean,
    Made,
    MakePdf,
    Page,
    Refused,
    Remade,
    Remake,
    Request,
    Sanitised,
    Shown,
    ShowPdf,
    decode_request,
    encode,
)

_PR_SET_NAME: Final = 15
_PR_SET_NO_NEW_PRIVS: Final = 38
_MEMORY: Final = 1536 * 2**20
_OPEN_FILES: Final = 64
#: Of the processor, for one request.
_SECONDS: Final = 60
_NICENESS: Final = 10
#: Pictures of a page are never higher than so many times their width.
_TALLEST: Final = 4
_TEXT: Final = 20_000
_STYLE: Final = re.compile(r"<style>(.*?)</style>", re.DOTALL)
#: Characters of harmless HTML without its pictures; what we are given is a megabyte at most.
_LARGEST_HTML: Final = 8 * 2**20


def main(descriptor: int) -> None:
    """Serve one request after the other until the other end is closed."""
    _confine()
    gc.disable()  # each request is followed by a collection, and none takes long enough to need one within
    with socket.socket(fileno=descriptor) as channel:
        while (request := _receive(channel)) is not None:
            answer = encode(_render(request))
            channel.sendall(LENGTH.pack(len(answer)) + answer)
            del request, answer
            gc.collect()
            # What outlives a request stays to the end; to look through it each time takes longer than a page.
            gc.freeze()


def _confine() -> None:
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    prctl(_PR_SET_NAME, b"relayd-render", 0, 0, 0)
    prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    forbid_core_dumps()
    with contextlib.suppress(OSError):  # where a container forbids it
        os.nice(_NICENESS)
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (_OPEN_FILES, _OPEN_FILES))


def _limit_time() -> None:
    """Whoever asked kills us much earlier, unless he is dead himself."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    limit = int(used.ru_utime + used.ru_stime) + _SECONDS
    resource.setrlimit(resource.RLIMIT_CPU, (limit, resource.RLIM_INFINITY))


def _receive(channel: socket.socket) -> Request | None:
    header = _read(channel, LENGTH.size)
    return decode_request(_read(channel, LENGTH.unpack(header)[0])) if header else None


def _read(channel: socket.socket, length: int) -> bytes:
    received = bytearray()
    while len(received) < length:
        block = channel.recv(min(length - len(received), 2**18))
        if not block:
            return b""
        received += block
    return bytes(received)


def _render(request: Request) -> Answer:
    _limit_time()
    try:
        match request:
            case Clean():
                return _cleaned(request)
            case MakePdf():
                return _made(request)
            case ShowPdf():
                return _shown(request)
        return _remade(request)
    except Exception as error:  # whatever a library thinks of somebody's content
        return Refused(type(error).__name__)


def _cleaned(request: Clean) -> Sanitised | Refused:
    clean = sanitise(request.html, request.pictures, request.room)
    return clean if clean.size <= _LARGEST_HTML else Refused("Overgrown")


def _made(request: MakePdf) -> Made:
    import weasyprint

    attachments = []
    if request.original:
        attachments.append(weasyprint.Attachment(string=request.original, name=request.name, relationship="Source"))
    html, sheets = _without_style(request.html)
    page = weasyprint.HTML(string=html, url_fetcher=_fetcher())
    pdf = page.write_pdf(
        pdf_variant=request.variant.value, attachments=attachments, font_config=_fonts(), stylesheets=sheets
    )
    return Made(pdf)


def _without_style(html: str) -> tuple[str, list[Any]]:
    """``html`` without its one style sheet, and that one parsed. A page with several keeps them, since their order
    counts."""
    found = _STYLE.search(html) if html.count("<style") == 1 else None
    return (html[: found.start()] + html[found.end() :], [_sheet(found[1])]) if found else (html, [])


@lru_cache(maxsize=8)
def _sheet(text: str) -> Any:
    """The pages of one template all have the same, and parsing it takes a tenth of a page's time."""
    from weasyprint import CSS

    return CSS(string=text, url_fetcher=_fetcher(), font_config=_fonts())


@cache
def _fetcher() -> Any:
    from weasyprint.urls import URLFetcher

    class Fetcher(URLFetcher):  # type: ignore[misc]  # weasyprint has no types
        """Pictures that are in the page itself, and nothing else."""

        def fetch(self, url: str, headers: Any = None) -> Any:
            if not url.startswith("data:image/"):
                raise ValueError("nothing is fetched")
            return super().fetch(url, headers)

    return Fetcher()


@cache
def _fonts() -> Any:
    """The fonts of this machine; looking for them takes a sixth of a page's time."""
    from weasyprint.text.fonts import FontConfiguration

    return FontConfiguration()


def _remade(request: Remake) -> Remade:
    transform: Callable[[Remake, Callable[[MakePdf], Made]], Remade] = resolve_name(TRANSFORMS[request.transform])
    return transform(request, _made)


def _shown(request: ShowPdf) -> Shown:
    import pypdfium2

    document = pypdfium2.PdfDocument(request.pdf)
    total = len(document)
    return Shown(tuple(_page(document[number], request.width) for number in range(min(total, request.pages))), total)


def _page(page: Any, width: int) -> Page:
    wide, high = page.get_size()
    scale = min(width / max(wide, 1.0), _TALLEST * width / max(high, 1.0))
    picture = page.render(scale=scale).to_pil()
    held = io.BytesIO()
    picture.save(held, "PNG")
    text: str = page.get_textpage().get_text_bounded()
    return Page(held.getvalue(), text[:_TEXT])


if __name__ == "__main__":
    main(int(sys.argv[1]))
