"""``relayd edi convert``: one form of a message to another, with what was lost on the way."""

from __future__ import annotations

import argparse
import sys
from datetime import datetime
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

from relayd.cli.common import add_json, print_json
from relayd.cli.edi_files import find, finding_json, finding_line, octets, write
from relayd.cli.table import printable
from relayd.clock import SystemClock
from relayd.edi.convert import TARGETS, convert
from relayd.edi.mapping import Mapping, read_mapping
from relayd.edi.model import Format, Severity
from relayd.edi.words import LANGUAGES, words_of
from relayd.edi.writers.envelope import Envelope
from relayd.errors import RelaydError
from relayd.mail.mime_header import is_header

_EPILOG: Final = """\
examples:
  relayd edi convert result.edi --to hl7 --mapping codes.csv --output result.hl7
  relayd edi convert result.hl7 --to edifact    MEDLAB:1; what is too long stands below its result
  relayd edi convert result.edi --to edi-xml    loses nothing: back from it come the same octets
  relayd edi convert letter.txt --to edifact --sender 500000001 --receiver 500000002

Text that is no EDI becomes a letter, MEDVRI:1. What was lost is on standard error, a line each.
exit status: 0 all was carried over, 3 something was lost (and the rest written), 1 no conversion, 2 a wrong call
"""
#: Something was lost; 1 and 2 have their meanings in every command.
_LOSSY: Final = 3
#: The messages' times have no zone: they are of the Netherlands.
_HERE: Final = ZoneInfo("Europe/Amsterdam")


def add_convert(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``convert`` to the actions of ``relayd edi``."""
    parser = actions.add_parser(
        "convert",
        help="a message in another form, and what was lost",
        description="Write a message in another form: EDIFACT, HL7 version 2, or the XML of one of them.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("file", metavar="FILE", help="the message, or text; '-' is standard input")
    parser.add_argument("--to", required=True, choices=[*map(str, TARGETS)], metavar="FORMAT", help=", ".join(TARGETS))
    parser.add_argument("--mapping", metavar="CSV", type=Path, help="NHG and LOINC codes: code,name,unit,loinc a line")
    parser.add_argument("--part", type=int, metavar="N", help="the Nth EDI message of a mail that has several")
    parser.add_argument("--charset", default="", metavar="NAME", help="the character set, if the file doesn't show it")
    parser.add_argument("--sender", default="", metavar="NUMBER", help="the sender's number for a new envelope")
    parser.add_argument("--receiver", default="", metavar="NUMBER", help="the receiver's number for a new envelope")
    parser.add_argument("--reference", default="", metavar="TEXT", help="for a message that has none")
    parser.add_argument("--language", choices=LANGUAGES, default="en", help="of what was lost (%(default)s)")
    parser.add_argument("--output", metavar="FILE", type=Path, help="write there instead of on standard output")
    add_json(parser)
    parser.set_defaults(run=run_convert)


def run_convert(arguments: argparse.Namespace) -> int:
    """Write the message in its new form; with ``--json`` the report is on standard output."""
    if arguments.json and not arguments.output:
        raise RelaydError("with --json the report is on standard output: give --output FILE for the message")
    mapping = read_mapping(arguments.mapping) if arguments.mapping else Mapping()
    now = datetime.fromtimestamp(SystemClock().now(), _HERE).strftime("%Y-%m-%dT%H:%M")
    envelope = Envelope(arguments.sender, arguments.receiver, now, arguments.reference)
    data, charset = _message(arguments)
    converted = convert(data, Format(arguments.to), mapping=mapping, charset=charset, envelope=envelope)
    if arguments.output:
        write(arguments.output, converted.data)
    else:
        sys.stdout.buffer.write(converted.data)
    words = words_of(arguments.language)
    if arguments.json:
        losses = [finding_json(loss, words) for loss in converted.losses]
        print_json({"format": converted.format.value, "octets": len(converted.data), "losses": losses})
    else:
        for loss in converted.losses:
            print(printable(finding_line(loss, words)), file=sys.stderr)
    return _LOSSY if any(loss.severity is not Severity.NOTE for loss in converted.losses) else 0


def _message(arguments: argparse.Namespace) -> tuple[bytes, str]:
    """The one message in the file and its character set; or the file as text, if it is no mail."""
    data = octets(arguments.file)
    found = find(arguments.file, data, arguments.part)
    if len(found) > 1:
        raise RelaydError(f"the mail has {len(found)} EDI messages: name one with --part")
    if found:
        return found[0].data, arguments.charset or found[0].charset
    if is_header(data):
        raise RelaydError(f"there is no EDI in {arguments.file}")
    return data, arguments.charset
