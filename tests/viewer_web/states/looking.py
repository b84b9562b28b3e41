"""Every state in both languages, at 320 and 1280 px, with and without JavaScript: nothing sticks out, nothing is left
untranslated, nobody is shut out (axe), nothing is fetched from elsewhere; and a picture of each to look at."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Page

from relayd.directory.directory import Delivers, DomainEntry
from relayd.mail.address import Domain
from tests.kit.chromium import serving
from tests.kit.ports import free_port
from tests.kit.viewer import Site, open_site
from tests.viewer_web.states.scenes import SCENES, Stage
from viewer_web.app import create_app

PICTURES = Path(os.environ.get("RELAYD_TEST_ARTEFACTS", ".artefacts")) / "states"
WIDTHS = (320, 1280)
#: Documents that show somebody's content: their structure is the sender's.
CONTENT = {"body", "body_as_text", "print_view", "a_look_at_a_picture", "a_look_that_fails"}
AXE = Axe()
_OVERFLOW = """() => [...document.querySelectorAll('body *')].filter(e => {
  const box = e.getBoundingClientRect();
  return box.width && !e.closest('.unseen, .skip') && box.right > innerWidth + 0.5;
}).map(e => e.outerHTML.slice(0, 120))"""
_SMALL = """() => [...document.querySelectorAll('main button, main input:not([type=hidden]), main summary, .button')]
  .filter(e => {
    const box = e.getBoundingClientRect();
    return box.width && (box.height < 24 || box.width < 24);
  }).map(e => e.outerHTML.slice(0, 120))"""


@asynccontextmanager
async def served(folder: Path) -> AsyncIterator[tuple[Site, str]]:
    """A Viewer that knows one member beside its own organisation, and its address."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    async with open_site(folder, viewer={"url": address, "service_name": "Veilige post"}) as site:
        member = Domain("praktijk.example")
        directory = dataclasses.replace(
            site.services.directory(), domainbook={member: DomainEntry(member, Delivers.RELAY)}
        )
        services = dataclasses.replace(site.services, directory=lambda: directory)
        site = dataclasses.replace(site, services=services, app=create_app(services))
        async with serving(site.app, port):
            yield site, address


async def look(name: str, language: str, folder: Path, browser: Browser, *, scripts: bool) -> None:
    """Bring a page into a state, and look at it."""
    async with served(folder) as (site, address):
        context = await browser.new_context(java_script_enabled=scripts, viewport={"width": 1280, "height": 900})
        try:
            page = await context.new_page()
            said: list[str] = []
            page.on("console", lambda line: said.append(line.text) if line.type in ("error", "warning") else None)
            page.on("request", lambda one: None if one.url.startswith((address, "data:")) else said.append(one.url))
            await SCENES[name][1](Stage(site, page, address, language))
            if name in CONTENT:
                # Its policy lets nobody look inside, tests neither: the same octets are shown without it.
                octets = await (await context.request.get(page.url)).text()
                page = await context.new_page()
                await page.set_content(octets)
            await _looked_at(page, name, language, scripts=scripts)
            assert [line for line in said if "status of" not in line] == []
        finally:
            await context.close()


async def _looked_at(page: Page, name: str, language: str, *, scripts: bool) -> None:
    title = await page.title()
    assert title.strip()
    assert await page.locator("html").get_attribute("lang") == language
    if name not in CONTENT:
        assert await page.locator("h1").count() == 1
    for width in WIDTHS:
        await page.set_viewport_size({"width": width, "height": 900})
        assert await page.evaluate(_OVERFLOW) == [], f"sticks out at {width}"
        assert await page.evaluate(_SMALL) == [], f"too small to touch at {width}"
        if scripts:
            results = await AXE.run(page, options={"resultTypes": ["violations"]})
            found = [
                f"{one['id']}: {one['help']}: {one['nodes'][0]['html'][:160]}" for one in results.response["violations"]
            ]
            assert found == [], f"at {width}"
            PICTURES.mkdir(parents=True, exist_ok=True)
            await page.screenshot(path=PICTURES / f"{name}-{language}-{width}.png", full_page=True)
