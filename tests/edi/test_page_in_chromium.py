"""The pages in a real browser: at any width, accessible, and asking nobody for anything."""

from __future__ import annotations

from dataclasses import replace

import pytest
from axe_playwright_python.async_playwright import Axe

from relayd.edi.model import Kind
from relayd.edi.rendering import html
from tests.edi.documents import LAB, LETTER, UNKNOWN, reading
from tests.kit.chromium import CHROMIUM, chromium

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Debian's chromium isn't installed")


@pytest.fixture
async def browser():
    async with chromium() as browser:
        yield browser


@pytest.mark.parametrize("document", [LAB, LETTER, UNKNOWN], ids=lambda one: one.type)
async def test_a_page_fits_and_breaks_no_rule_of_accessibility(browser, document):
    for width in (320, 1100):
        page = await browser.new_page(viewport={"width": width, "height": 800}, bypass_csp=True)
        await page.set_content(html(reading(document), "nl").html)
        assert await page.evaluate("document.documentElement.scrollWidth") <= width
        found = await Axe().run(page)
        assert [(one["id"], one["nodes"][0]["html"]) for one in found.response["violations"]] == []
        await page.close()


async def test_every_kind_of_message_has_the_whole_width(browser):
    page = await browser.new_page(viewport={"width": 1100, "height": 800})
    widths = set()
    for kind in Kind:
        await page.set_content(html(reading(replace(LAB, kind=kind)), "nl").html)
        widths.add(await page.evaluate("document.querySelector('article').offsetWidth"))
    assert len(widths) == 1


async def test_a_hostile_name_runs_nothing_and_loads_nothing(browser):
    name = "<img src=http://127.0.0.1:9/x onerror=document.title='taken'><script>document.title='taken'</script>"
    page = await browser.new_page()
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    await page.set_content(html(reading(replace(LETTER, label=name, patient=None)), "nl").html)
    assert asked == []
    assert await page.title() == "Brief"
    assert name in await page.inner_text("body")
