"""``relayd edi``: read a laboratory result, a letter or another EDI message, and see what is wrong with it."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from relayd.cli.common import add_json, print_json
from relayd.cli.edi_convert import add_convert
from relayd.cli.edi_files import edi_in, finding_json, finding_line, write
from relayd.cli.table import printable
from relayd.edi import reading
from relayd.edi.detect import Leaf
from relayd.edi.model import Finding, Reading, Severity
from relayd.edi.rendering import OURS, Pdfs, Templates, html, text
from relayd.edi.words import LANGUAGES, Words, words_of
from relayd.errors import RelaydError
from relayd.rendering.renderer import ProcessRenderer

_EPILOG: Final = """\
examples:
  relayd edi show result.edi                    as text, in English
  relayd edi show result.edi --html --language nl --output result.html
  relayd edi show mail.eml --pdf --output result.pdf
                                                the EDI in a mail, as PDF/A-3 with the original inside
  relayd edi show result.hl7 --json             what was read, for scripts
  relayd edi check result.edi                   every finding: line, segment, element and what it means
  cat result.edi | relayd edi check -
  relayd edi convert result.edi --to hl7        in another form; relayd edi convert --help

FILE is EDIFACT, HL7 v2, their XML, or a mail with one of these in it. '-' is standard input.
exit status: 0 done, 1 it can't be read or check finds an error, 2 the call itself was wrong
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``edi``."""
    parser = commands.add_parser(
        "edi",
        help="read EDIFACT and HL7 messages, check and convert them",
        description="Show what an EDI message says, or everything that is wrong with it.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    show = actions.add_parser("show", help="what a message says, as text, HTML, PDF or JSON")
    form = show.add_mutually_exclusive_group()
    form.add_argument("--html", action="store_true", help="print a page that needs nothing else")
    form.add_argument("--pdf", action="store_true", help="print PDF/A-3 with the original inside")
    add_json(form)  # type: ignore[arg-type]  # a group takes arguments like a parser
    show.add_argument("--language", choices=LANGUAGES, default="en", help="of labels and dates (%(default)s)")
    show.add_argument("--templates", metavar="DIR", type=Path, help="message.html and style.css instead of ours")
    show.add_argument("--output", metavar="FILE", type=Path, help="write there instead of on standard output")
    show.set_defaults(run=run_show)
    check = actions.add_parser("check", help="every finding with its place; exit status 1 when one is an error")
    check.add_argument("--language", choices=LANGUAGES, default="en", help="of the findings (%(default)s)")
    add_json(check)
    check.set_defaults(run=run_check)
    add_convert(actions)
    for action in (show, check):
        action.add_argument("file", metavar="FILE")
        action.add_argument("--part", type=int, metavar="N", help="the Nth EDI message of a mail that has several")


def run_show(arguments: argparse.Namespace) -> int:
    """Print what the message says; exit status 1 when it can't be read."""
    found = edi_in(arguments.file, arguments.part)
    readings = [(one, reading.read(one.data, one.charset)) for one in found]
    templates = Templates(arguments.templates) if arguments.templates else OURS
    if arguments.json:
        made = msgspec.json.format(msgspec.json.encode([one for _, one in readings]), indent=2) + b"\n"
    elif arguments.html or arguments.pdf:
        if len(readings) > 1:
            raise RelaydError(f"the mail has {len(readings)} EDI messages: name one with --part")
        leaf, one = readings[0]
        page = html(one, arguments.language, templates)
        for finding in page.findings:
            print(f"relayd: {finding}", file=sys.stderr)
        made = page.html.encode()
        if arguments.pdf:
            made = asyncio.run(_pdf(one, leaf, arguments.language, templates))
    else:
        made = "\n".join(text(one, arguments.language) for _, one in readings).encode()
    _write(made, arguments.output, is_pdf=arguments.pdf)
    return 0 if all(one.documents for _, one in readings) else 1


async def _pdf(read: Reading, leaf: Leaf, language: str, templates: Templates) -> bytes:
    renderer = ProcessRenderer()
    if not renderer.makes_pdf:
        raise RelaydError("PDFs need the extra 'pdf' (WeasyPrint), which isn't installed")
    try:
        return await Pdfs(renderer).make(read, leaf.data, language, leaf.name or "message.edi", templates)
    finally:
        await renderer.close()


def _write(made: bytes, output: Path | None, *, is_pdf: bool) -> None:
    if output:
        write(output, made)
    elif is_pdf and sys.stdout.isatty():
        raise RelaydError("a PDF isn't for a terminal: give --output FILE")
    else:
        sys.stdout.buffer.write(made)


def run_check(arguments: argparse.Namespace) -> int:
    """Print every finding; exit status 1 when there is an error among them."""
    words = words_of(arguments.language)
    found = [(one, reading.check(one.data, one.charset)) for one in edi_in(arguments.file, arguments.part)]
    if arguments.json:
        print_json(
            [{"file": leaf.name} | finding_json(finding, words) for leaf, findings in found for finding in findings]
        )
    else:
        for leaf, findings in found:
            for line in _described(leaf, findings, words):
                print(printable(line))
    return 1 if any(one.severity is Severity.ERROR for _, findings in found for one in findings) else 0


def _described(leaf: Leaf, findings: list[Finding], words: Words) -> Iterator[str]:
    name = leaf.name or leaf.path or "-"
    for one in findings:
        yield f"{name}: {finding_line(one, words)}"
    if not findings:
        yield f"{name}: {words('nothing found')}"
