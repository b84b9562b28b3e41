"""The examples of docs/edi.md: a page of each type of message in Dutch, as relayd makes it, and its picture."""

from __future__ import annotations

import asyncio
import io
import sys
from pathlib import Path

from PIL import Image

from relayd.edi import reading
from relayd.edi.rendering import html
from tests.kit.chromium import CHROMIUM, chromium

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = ROOT / "tests" / "edi" / "samples"
FOLDER = ROOT / "docs" / "examples" / "edi"
#: The name of an example, and the sample that it is made of.
EXAMPLES = {
    "medlab": "medlab_full_latin1_crlf.edi",
    "medvri": "medvri_full_latin1_crlf.edi",
    "medspe": "medspe1_full.edi",
    "medrad": "medrad1_full.edi",
    "medrpt": "medrpt_mrpn32_full.edi",
    "oul_r22": "oul_r22_lab2lab_latin1.hl7",
    "oml_o21": "oml_o21_lab2lab_latin1.hl7",
    "ack": "ack_ae.hl7",
    "unknown": "unknown_type_MEDXYZ.edi",
}
_WIDTH = 940


async def main() -> int:
    if CHROMIUM is None:
        print("edi-examples: Debian's chromium isn't installed", file=sys.stderr)
        return 1
    FOLDER.mkdir(parents=True, exist_ok=True)
    async with chromium() as browser:
        page = await browser.new_page(viewport={"width": _WIDTH, "height": 100})
        for name, sample in EXAMPLES.items():
            made = html(reading.read((SAMPLES / sample).read_bytes()), "nl").html
            (FOLDER / f"{name}.html").write_text(made, "utf-8")
            await page.set_content(made)
            # A palette is enough for a page of text, and a third of the octets.
            picture = Image.open(io.BytesIO(await page.screenshot(full_page=True))).convert("RGB").quantize(128)
            picture.save(FOLDER / f"{name}.png", optimize=True)
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
