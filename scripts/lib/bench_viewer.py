"""Two hundred readers open a 5 MB message at the same moment, while 50 mails a second pass through the same relayd.

Each has signed in with a code of his own. At the signal all of them ask for the message's page, then for its body, then
begin to download an attachment; what is measured is how long each answer takes from the request to its last octet. All
of production is on: TLS, every policy, sealed bodies, the store process. The readers' own work runs on the same cores.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import statistics
import sys
import time
from dataclasses import asdict, dataclass
from email.message import EmailMessage
from pathlib import Path

import httpx

from scripts.lib.bench_stage import Crowd, Stage, footnote, markdown, scan, send, small, stage
from tests.kit.browser import Browser
from tests.kit.site import Site
from tests.kit.talk import DOCTOR, say
from tests.kit.usage import Peak, memory_of
from tests.kit.wait import wait_for

READERS = 200
RATE = 50
SENDERS = 4
GOAL = 1.0
#: Decoded octets of the message that is downloaded whole.
LARGEST = 35_900_000
#: How often at once.
DOWNLOADS = 20
_PAGES = ("message", "body", "attachment")
#: What is seen when a message is opened; its attachments are listed, and fetched by who wants them.
_OPENED = ("message", "body")


@dataclass(frozen=True)
class Figure:
    """How long one kind of answer took, in seconds."""

    what: str
    count: int
    median: float
    p95: float
    longest: float
    errors: int = 0

    @property
    def cells(self) -> list[str]:
        times = [f"{1000 * one:.0f}" for one in (self.median, self.p95, self.longest)]
        return [self.what, str(self.count), *times, str(self.errors)]


def figure(what: str, took: list[float], errors: int = 0) -> Figure:
    cuts = statistics.quantiles(took, n=100)
    return Figure(what, len(took), cuts[49], cuts[94], max(took), errors)


def letter(recipients: list[str], first: int, octets: int) -> bytes:
    """HTML with a picture, and attachments of so many octets together; each recipient has a number of his own."""
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = DOCTOR, ", ".join(recipients), "Uitslag"
    for number, recipient in enumerate(recipients, first):
        mail["X-Relayd-Mobile"] = f"{recipient}; +316{10_000_000 + number}"
    mail.set_content("De uitslag is goed.\n" * 40)
    mail.add_alternative("<h1>Uitslag</h1>" + "<p>De uitslag is <b>goed</b>.</p>" * 200, subtype="html")
    for name, share in (("scan.tif", 0.7), ("brief.tif", 0.3)):
        mail.add_attachment(scan(int(octets * share)), "image", "tiff", filename=name)
    return mail.as_bytes(policy=mail.policy.clone(linesep="\r\n", max_line_length=900))


def deposit(on: Stage, prefix: str, count: int, octets: int) -> list[str]:
    """Messages for so many readers, at most a hundred each; their links."""
    names = [f"{prefix}{number}@outside.example" for number in range(count)]
    for start in range(0, count, 100):
        some = names[start : start + 100]
        with on.relayd.hospital() as client:
            reply = say(client, DOCTOR, some, letter(some, start, octets))
        if reply[0] != 250:
            raise RuntimeError(f"not accepted: {reply}")
    wait_for(lambda: len(_notified(on, names)) == count, "the notifications", 120)
    found = _notified(on, names)
    return [found[name] for name in names]


def _notified(on: Stage, names: list[str]) -> dict[str, str]:
    wanted, found = set(names), {}
    for receipt in on.partner.receipts:
        for name in wanted & set(receipt.recipients):
            text = on.partner.content(receipt).replace(b"=\r\n", b"").decode()
            if link := re.search(rf"{re.escape(on.site.viewer_url)}/v/[\w-]{{43}}", text):
                found[name] = link[0]
    return found


def sign_in(on: Stage, link: str, number: int) -> tuple[str, str]:
    """The path of the reader's message, and his cookie. Each has an address of his own, told by a proxy: many codes
    from one network are taken for guessing."""
    with Browser(headers={"X-Forwarded-For": f"100.64.{number}.1"}) as browser:
        browser.open(link)
        before = _messages(on)
        browser.submit(browser.forms[0])
        wait_for(lambda: len(_messages(on)) > len(before), "an SMS")
        code = re.search(r"#(\d{6})$", json.loads(_messages(on)[-1])["text"])
        form = next((form for form in browser.forms if "code" in form.open_fields), None)
        if not code or not form:
            raise RuntimeError(f"no code could be entered: {browser.text}")
        browser.submit(form, code=code[1])
        if not browser.frames:
            raise RuntimeError(f"not signed in: {browser.url} {browser.text}")
        return httpx.URL(browser.url).path, browser.cookies["__Host-vw"]


def _messages(on: Stage) -> list[str]:
    return on.site.sms.read_text().splitlines() if on.site.sms.exists() else []


async def get(port: int, path: str, cookie: str, *, octets: int = 0) -> tuple[float, bool]:
    """How long an answer takes, and whether it is a good and whole one. With ``octets`` the connection is cut after
    so many."""
    started = time.monotonic()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    lines = (
        f"GET {path} HTTP/1.1",
        f"Host: 127.0.0.1:{port}",
        f"Cookie: __Host-vw={cookie}",
        "Connection: close",
        "",
        "",
    )
    writer.write("\r\n".join(lines).encode())
    head = await reader.readuntil(b"\r\n\r\n")
    read = 0
    while block := await reader.read(2**18):
        read += len(block)
        if octets and read >= octets:
            break
    writer.close()
    length = re.search(rb"content-length: (\d+)", head)
    whole = bool(octets) or not length or read == int(length[1])
    return time.monotonic() - started, head.split()[1] == b"200" and whole


async def rush(port: int, readers: list[tuple[str, str]]) -> dict[str, list[tuple[float, bool]]]:
    """All at once: the page, its body, the beginning of the attachment."""
    took: dict[str, list[tuple[float, bool]]] = {name: [] for name in _PAGES}

    async def one(page: str, cookie: str) -> None:
        for name, path in zip(_PAGES, ("", "/body", "/attachment/part-2"), strict=True):
            took[name].append(await get(port, f"{page}{path}", cookie, octets=2**20 if name == "attachment" else 0))

    await asyncio.gather(*(one(page, cookie) for page, cookie in readers))
    return took


async def together(port: int, path: str, cookie: str) -> list[tuple[float, bool]]:
    return await asyncio.gather(*(get(port, path, cookie) for _ in range(DOWNLOADS)))


def traffic(on: Stage) -> Crowd:
    """So many mails a second, evenly, from a few sessions that stay open."""
    wire = small()

    def work(crowd: Crowd) -> None:
        with on.relayd.hospital() as client:
            due = time.monotonic()
            while not crowd.stop.is_set():
                due += SENDERS / RATE
                crowd.took.append(send(client, wire))
                time.sleep(max(0.0, due - time.monotonic()))

    return Crowd([work] * SENDERS)


def measure(on: Stage) -> tuple[list[Figure], list[str]]:
    port = int(on.site.viewer_url.rpartition(":")[2])
    web = next(pid for pid, role in on.relayd.processes().items() if role == "web")
    readers = [sign_in(on, link, number) for number, link in enumerate(deposit(on, "reader", READERS, 5_000_000))]
    large = sign_in(on, deposit(on, "large", 1, LARGEST)[0], READERS)
    with traffic(on) as quiet:
        time.sleep(6)
    with traffic(on) as busy:
        time.sleep(3)
        took = asyncio.run(rush(port, readers))
        time.sleep(3)
    figures = [
        figure(name, [one for one, _ in took[name]], sum(not good for _, good in took[name])) for name in _PAGES
    ]
    figures.append(figure("relay, nobody reads", quiet.took))
    figures.append(figure("relay, meanwhile", busy.took))
    before = memory_of(web)
    with Peak(web, every=0.05) as peak:
        downloads = asyncio.run(together(port, f"{large[0]}/message.eml", large[1]))
    if not all(good for _, good in downloads):
        raise RuntimeError("the large message wasn't downloaded whole")
    notes = [
        f"a message of {round(LARGEST / 10**6)} MB downloaded {DOWNLOADS} times at once, whole, in "
        f"{max(took for took, _ in downloads):.1f} s: the web process "
        f"went from {before / 2**20:.0f} to {peak.value / 2**20:.0f} MiB",
        f"relay traffic: {len(busy.took) / (6 + max(one for one, _ in took['attachment'])):.0f} mails a second or more",
    ]
    return figures, notes


def settings(site: Site) -> None:
    """Readers who come by a proxy, and SMS enough for all."""
    site.relayd["viewer"]["trusted_proxies"] = ["127.0.0.0/8"]
    site.relayd["sms"] |= {"per_organisation": 10_000, "per_hour": 10_000}
    site.organisations["settings"] = {"confirmation": False}


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="scripts/bench viewer", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--folder", type=Path, default=Path("/var/tmp"), help="where mail is kept meanwhile")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    arguments = parser.parse_args(words)
    with stage(arguments.folder, settings, keep=True) as on:
        figures, notes = measure(on)
    if arguments.json:
        print(json.dumps([asdict(one) for one in figures]))
    else:
        print(
            markdown(["answer", "count", "median ms", "p95 ms", "longest ms", "errors"], [one.cells for one in figures])
        )
        print("\n" + "\n".join(f"- {note}" for note in notes) + f"\n\n{footnote('scripts/bench viewer')}")
    missed = [one.what for one in figures if one.errors or (one.what in _OPENED and one.p95 >= GOAL)]
    for what in missed:
        print(f"bench: missed its goal: {what}", file=sys.stderr)
    return 1 if missed else 0
