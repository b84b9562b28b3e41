"""Messages that two programs read differently: the policy judges what the most helpful of them would open.

Each trick hides one file, ``invoice.exe`` with content that no detector knows, from somebody's reading.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from policies.attachments import AttachmentsOptions, AttachmentsPolicy
from relayd.inspection.inspector import ProcessInspector
from relayd.pipeline.policy import Stage
from relayd.pipeline.verdict import Hold, Refuse
from tests.kit.judging import context, listed, mail

#: One inspecting child for all, and one loop that it belongs to.
pytestmark = pytest.mark.asyncio(loop_scope="module")

PAYLOAD = b"anything at all"
ENCODED = base64.b64encode(PAYLOAD).decode()
UUENCODED = "begin 644 invoice.exe\n" + binascii.b2a_uu(PAYLOAD).decode() + "`\nend\n"
FROM = "From: a@x.example\nSubject: x\nMIME-Version: 1.0\n"
#: The attachment that everybody would see, and a text beside it.
FILE = f'Content-Disposition: attachment; filename="invoice.exe"\nContent-Transfer-Encoding: base64\n\n{ENCODED}\n'
TEXT = "Content-Type: text/plain\n\nHello\n"


def parts(boundary: str, *contents: str, end: bool = True) -> str:
    return "".join(f"--{boundary}\n{content}" for content in contents) + (f"--{boundary}--\n" if end else "")


def attached(header: str) -> str:
    """A part with this header and the payload, beside a text."""
    part = f"{header}\nContent-Transfer-Encoding: base64\n\n{ENCODED}\n"
    return f"{FROM}Content-Type: multipart/mixed; boundary=b\n\n" + parts("b", TEXT, part)


STRUCTURES = {
    "two Content-Types, text first": "Content-Type: text/plain\nContent-Type: multipart/mixed; boundary=b\n",
    "two Content-Types, multipart first": "Content-Type: multipart/mixed; boundary=c\n"
    "Content-Type: multipart/mixed; boundary=b\n",
    "two boundaries": "Content-Type: multipart/mixed; boundary=c; boundary=b\n",
    "two boundaries, extended": "Content-Type: multipart/mixed; boundary*=us-ascii''c; boundary=b\n",
    "a boundary in pieces": "Content-Type: multipart/mixed; boundary*0=c; boundary*1=d; boundary=b\n",
    "a boundary in percent": "Content-Type: multipart/mixed; boundary*=us-ascii''%62\n",
    "a boundary with a needless backslash": 'Content-Type: multipart/mixed; boundary="\\b"\n',
    "a boundary as an encoded word": 'Content-Type: multipart/mixed; boundary="=?us-ascii?q?b?="\n',
    "a boundary without a semicolon": "Content-Type: multipart/mixed boundary=b\n",
    "a boundary behind a comment": "Content-Type: multipart/mixed (x; boundary=c); boundary=b\n",
    "a comment within the type": "Content-Type: multipart(x)/mixed; boundary=b\n",
    "white space within the type": "Content-Type: multipart / mixed; boundary=b\n",
    "a quoted type": 'Content-Type: "multipart/mixed"; boundary=b\n',
    "an encoded word as type": "Content-Type: =?us-ascii?q?multipart/mixed?=; boundary=b\n",
    "a half type": "Content-Type: multipart; boundary=b\n",
    "white space before the colon": "Content-Type : multipart/mixed; boundary=b\n",
    "a name in other case, folded": "cOnTeNt-TyPe:\n\tMULTIPART/mixed;\n\tBoundary=b\n",
    "a line that is no field first": "not a field\nContent-Type: multipart/mixed; boundary=b\n",
    "an unknown subtype": "Content-Type: multipart/x-new; boundary=b\n",
    "no boundary": "Content-Type: multipart/mixed\n",
    "an empty boundary": 'Content-Type: multipart/mixed; boundary=""\n',
    "encoded as base64": "Content-Transfer-Encoding: base64\nContent-Type: multipart/mixed; boundary=b\n",
    "encoded as quoted-printable": "Content-Transfer-Encoding: quoted-printable\n"
    "Content-Type: multipart/mixed; boundary=b\n",
    "encoded as nothing known": "Content-Transfer-Encoding: x-rot13\nContent-Type: multipart/mixed; boundary=b\n",
}
MULTIPART = f"{FROM}Content-Type: multipart/mixed; boundary=b\n\n"
ALTERNATIVE = "Content-Type: multipart/alternative; boundary=c\n\n"
BODIES = {
    "a longer line than the boundary": MULTIPART + parts("b", TEXT, end=False) + "--bX\n" + FILE + "--b--\n",
    "a boundary with text behind it": MULTIPART + parts("b", TEXT, end=False) + "--b (comment)\n" + FILE + "--b--\n",
    "behind the end": MULTIPART + parts("b", TEXT) + "--b\n" + FILE,
    "behind the inner end": MULTIPART + parts("b", ALTERNATIVE + parts("c", TEXT) + "--c\n" + FILE),
    "no end": MULTIPART + parts("b", TEXT, FILE, end=False),
    "only an end before": MULTIPART + "--b--\n" + parts("b", FILE),
    "an inner boundary that is the outer one": MULTIPART
    + parts("b", "Content-Type: multipart/mixed; boundary=b\n\n" + parts("b", TEXT, FILE)),
    "an inner boundary that begins like the outer one": MULTIPART
    + parts("b", "Content-Type: multipart/mixed; boundary=bb\n\n" + parts("bb", TEXT, FILE)),
    "white space behind the boundary": MULTIPART + f"--b  \n{TEXT}--b\t \n{FILE}--b--  \n",
    "within a message": MULTIPART + parts("b", f"Content-Type: message/rfc822\n\n{MULTIPART}" + parts("b", FILE)),
    "within an encoded message": MULTIPART
    + parts(
        "b",
        "Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\n"
        + base64.encodebytes((MULTIPART + parts("b", FILE)).encode()).decode(),
    ),
    "within a digest": f"{FROM}Content-Type: multipart/digest; boundary=d\n\n"
    + parts("d", "\n" + MULTIPART + parts("b", FILE)),
    "one piece of a message": f'{FROM}Content-Type: message/partial; id="x@y"; number=1; total=2\n\n'
    + MULTIPART
    + parts("b", FILE),
    "uuencoded in text": f"{FROM}Content-Type: text/plain\n\nHello\n\n{UUENCODED}",
    "uuencoded without any MIME": f"From: a@x.example\n\n{UUENCODED}",
    "uuencoded in a part": MULTIPART + parts("b", TEXT + UUENCODED),
    "uuencoded in quoted-printable": f"{FROM}Content-Type: text/plain\n"
    f"Content-Transfer-Encoding: quoted-printable\n\n{UUENCODED.replace('=', '=3D')}",
    "base64 by uuencode": f"{FROM}\nbegin-base64 644 invoice.exe\n{ENCODED}\n====\n",
    "yEnc in text": f"{FROM}\n=ybegin line=128 size=3 name=invoice.exe\n\x8b\x8b\x8b\n=yend size=3\n",
    "uuencoded by its encoding": attached("Content-Type: text/plain").replace(
        f"base64\n\n{ENCODED}", f"x-uuencode\n\n{UUENCODED}"
    ),
}
NAMES = {
    "name only": 'Content-Type: application/pdf; name="invoice.exe"',
    "filename only": 'Content-Disposition: attachment; filename="invoice.exe"',
    "name and filename differ": 'Content-Type: text/plain; name="invoice.exe"\n'
    'Content-Disposition: attachment; filename="invoice.txt"',
    "two filenames": 'Content-Disposition: attachment; filename="a.txt"; filename="invoice.exe"',
    "two Content-Dispositions": 'Content-Disposition: attachment; filename="a.txt"\n'
    'Content-Disposition: attachment; filename="invoice.exe"',
    "no semicolon before it": 'Content-Disposition: attachment filename="invoice.exe"',
    "no semicolon between two": 'Content-Disposition: attachment; filename="a.txt" filename="invoice.exe"',
    "a comma between": 'Content-Disposition: attachment, filename="invoice.exe"',
    "extended": "Content-Disposition: attachment; filename*=utf-8''invoice%2Eexe",
    "extended, contradicting": "Content-Disposition: attachment; filename=a.txt; filename*=utf-8''invoice.exe",
    "extended, an unknown charset": "Content-Disposition: attachment; filename*=x-none''invoice%2eexe",
    "extended, quoted": "Content-Disposition: attachment; filename*=\"utf-8''invoice.exe\"",
    "in pieces": 'Content-Disposition: attachment; filename*0="invoice.e"; filename*1="xe"',
    "in pieces, out of order": 'Content-Disposition: attachment; filename*1="xe"; filename*0="invoice.e"',
    "in pieces, some of them encoded": "Content-Disposition: attachment; filename*0*=utf-8''invoice%2E; filename*1=exe",
    "in pieces with one missing": 'Content-Disposition: attachment; filename*0="invoice.exe"; filename*2=".txt"',
    "in pieces, one of them twice": 'Content-Disposition: attachment; filename*0="a"; filename*1=".txt"; '
    'filename*1=".exe"',
    "in pieces from one on": 'Content-Disposition: attachment; filename*1="invoice."; filename*2="exe"',
    "an encoded word": 'Content-Disposition: attachment; filename="=?utf-8?q?invoice=2Eexe?="',
    "two encoded words": 'Content-Type: text/plain; name="=?utf-8?b?aW52b2lj?= =?utf-8?b?ZS5leGU=?="',
    "an encoded word, bare": "Content-Type: text/plain; name==?utf-8?b?aW52b2ljZS5leGU=?=",
    "an encoded word with white space": 'Content-Type: text/plain; name="=?utf-8?q?my invoice.exe?="',
    "an encoded word in a piece": "Content-Disposition: attachment; filename*0==?utf-8?q?invoice.ex?=; filename*1=e",
    "bare with white space": "Content-Disposition: attachment; filename=my invoice.exe",
    "a quote that stays open": 'Content-Disposition: attachment; filename="invoice.exe',
    "more behind the closing quote": 'Content-Disposition: attachment; filename="invoice".exe',
    "quotes within": 'Content-Disposition: attachment; filename="invoice"".""exe"',
    "backslashes": 'Content-Disposition: attachment; filename="invoice.\\e\\x\\e"',
    "a path": 'Content-Disposition: attachment; filename="..\\..\\invoice.exe"',
    "a dot behind": 'Content-Disposition: attachment; filename="invoice.exe. ."',
    "a NUL in percent": "Content-Disposition: attachment; filename*=utf-8''invoice.exe%00.txt",
    "a stream": 'Content-Disposition: attachment; filename="invoice.exe:a.txt"',
    "quotes of another kind": "Content-Disposition: attachment; filename='invoice.exe'",
    "a character that no file name may hold": 'Content-Disposition: attachment; filename="invoice.exe?"',
    "folded within": 'Content-Disposition: attachment; filename="invoice.\n exe"',
    "full-width letters": "Content-Disposition: attachment; filename*=utf-8''invoice.%EF%BD%85%EF%BD%98%EF%BD%85",
    "a soft hyphen": "Content-Disposition: attachment; filename*=utf-8''invoice.e%C2%ADxe",
    "from right to left": "Content-Disposition: attachment; filename*=utf-8''invoice%E2%80%AEtxt.exe",
    "white space around the sign": 'Content-Disposition: attachment; filename = "invoice.exe"',
    "upper case": 'CONTENT-DISPOSITION: ATTACHMENT; FILENAME="INVOICE.EXE"',
    "a comment": 'Content-Disposition: attachment; (x) filename="invoice.exe"',
    "inline": 'Content-Disposition: inline; filename="invoice.exe"',
    "only a description": 'Content-Type: text/html; name="a.html"; filename="invoice.exe"',
}
ENCODINGS = {
    "repeated": "Content-Transfer-Encoding: 7bit\nContent-Transfer-Encoding: base64",
    "repeated, the same": "Content-Transfer-Encoding: base64\nContent-Transfer-Encoding: base64",
    "two words": "Content-Transfer-Encoding: 7bit base64",
    "quoted": 'Content-Transfer-Encoding: "base64"',
    "an encoded word": "Content-Transfer-Encoding: =?us-ascii?q?base64?=",
    "unknown": "Content-Transfer-Encoding: x-base64",
}

HONEST = {
    "no MIME at all": "From: a@x.example\n\nHello\n",
    "words that begin a line": f"{FROM}\nbegin maart is er overleg\nbegin 2026 ook\nbegin 644 \nend\n",
    "a line of minus signs": MULTIPART + parts("b", TEXT + "-- \nregards\n--\n--------\n"),
    "an old type": f"{FROM}Content-Type: text\n\nHello\n",
    "the same type twice": f"{FROM}Content-Type: text/plain\nContent-Type: text/plain\n\nHello\n",
    "a comment": f"{FROM}Content-Type: text/plain (plain); charset=us-ascii (ASCII)\n\nHello\n",
    "a boundary with a longer one within": MULTIPART
    + parts("b", "Content-Type: multipart/alternative; boundary=b2\n\n" + parts("b2", TEXT, TEXT), TEXT),
    "a report": f"{FROM}Content-Type: multipart/report; report-type=delivery-status; boundary=b\n\n"
    + parts("b", TEXT, "Content-Type: message/delivery-status\n\nReporting-MTA: dns; x\n", "Content-Type: "
            "text/rfc822-headers\n\nSubject: x\n"),
    "a name with a percent sign": attached('Content-Disposition: attachment; filename="100%.csv"'),
    "a long name in pieces": attached(
        'Content-Disposition: attachment; filename*0="a long "; filename*1="name.csv"; filename="a long name.csv"'
    ),
}  # fmt: skip


def tricks() -> dict[str, str]:
    found = {
        f"structure: {name}": FROM + header + "\nPreamble\n" + parts("b", TEXT, FILE)
        for name, header in STRUCTURES.items()
    }
    found |= {f"body: {name}": content for name, content in BODIES.items()}
    found |= {f"name: {name}": attached(header) for name, header in NAMES.items()}
    for name, header in ENCODINGS.items():
        # The encoding decides what the file is: a program here, for whoever takes it for base64.
        part = f"Content-Type: application/pdf\n{header}\n\n{base64.b64encode(b'MZ' + bytes(300)).decode()}\n"
        found[f"encoding: {name}"] = MULTIPART + parts("b", TEXT, part)
    return found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def inspector() -> AsyncIterator[ProcessInspector]:
    inspector = ProcessInspector()
    yield inspector
    await inspector.close()


async def verdict(inspector: ProcessInspector, content: str, **options: str) -> str:
    policy = AttachmentsPolicy(AttachmentsOptions.model_validate(options))
    octets = content.replace("\n", "\r\n").encode("latin-1")
    verdicts = listed(await policy.judge(mail(octets), Stage.MESSAGE, context(inspector=inspector)))
    for one in verdicts:
        assert one.reason  # each verdict is explained
        if isinstance(one, Refuse):
            return "refused"
    return "held" if any(isinstance(one, Hold) for one in verdicts) else "passed"


@pytest.mark.parametrize("name", tricks())
async def test_no_reading_hides_a_file(inspector: ProcessInspector, name: str) -> None:
    assert await verdict(inspector, tricks()[name]) == "refused"


@pytest.mark.parametrize("name", tricks())
async def test_nor_within_a_message_that_only_the_inspector_opens(inspector: ProcessInspector, name: str) -> None:
    octets = base64.encodebytes(tricks()[name].replace("\n", "\r\n").encode("latin-1")).decode()
    part = f"Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\n{octets}"
    assert await verdict(inspector, MULTIPART + parts("b", TEXT, part)) == "refused"


@pytest.mark.parametrize("choice", ["hold", "pass"])
async def test_what_can_be_read_in_two_ways_is_a_setting(inspector: ProcessInspector, choice: str) -> None:
    content = tricks()["structure: two boundaries"]
    assert await verdict(inspector, content, uninspectable=choice) == {"hold": "held", "pass": "passed"}[choice]


@pytest.mark.parametrize("name", HONEST)
async def test_honest_mail_passes(inspector: ProcessInspector, name: str) -> None:
    assert await verdict(inspector, HONEST[name]) == "passed"
