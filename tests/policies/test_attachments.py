"""Which attachments pass: by name first, then by what the inspector found."""

from __future__ import annotations

import pytest

from policies.attachments import AttachmentsOptions, AttachmentsPolicy, blocked_extensions
from relayd.mail.meta import Part
from relayd.pipeline.policy import Found, Inspection, Mail, Stage
from relayd.pipeline.verdict import Hold, Pass, Refuse, Verdict
from tests.kit.judging import ToldInspector, context, listed, mail


def with_parts(*parts: Part) -> Mail:
    plain = mail("From: a@x.example\n\nHi\n")
    return Mail("m1", plain.peer, plain.origin, plain.envelope, (), plain.headers, plain.body, parts)


def attached(*names: str, type: str = "application/octet-stream", defects: tuple[str, ...] = ()) -> Part:
    return Part("2", type, 0, 10, disposition="attachment", names=names, defects=defects)


def found(*chain: str, type: str = "text/plain", **facts: bool | str) -> Found:
    return Found("2", chain, chain[-1:], type, 10, **facts)  # type: ignore[arg-type]


async def judge(mail: Mail, *files: Found, reason: str = "", **options: object) -> tuple[Verdict, int]:
    inspector = ToldInspector(Inspection(files, complete=not reason, reason=reason))
    policy = AttachmentsPolicy(AttachmentsOptions(**options))  # type: ignore[arg-type]
    verdicts = listed(await policy.judge(mail, Stage.MESSAGE, context(inspector=inspector)))
    for kind in (Refuse, Hold):
        for verdict in verdicts:
            if isinstance(verdict, kind):
                return verdict, inspector.asked
    return verdicts[0], inspector.asked


def test_the_list_is_whole() -> None:
    assert len(blocked_extensions()) == 54
    assert {"exe", "ade", "xll", "ps1", "js", "diagcab"} <= blocked_extensions()


@pytest.mark.parametrize(
    "name",
    [
        "invoice.pdf.exe",
        "X.EXE",
        "x.exe.",
        "x.exe . .",
        "x.exe\u00a0",
        "x.ｅｘｅ",
        "x.e\u200bxe",
        "x.exe\0",
        "x.exe\0.txt",
        "x.exe\r",
        "x.exe::$DATA",
        "x.exe:stream.txt",
        "x.exe            .txt",
        "..\\..\\x.exe",
        "a/b.txt/x.exe",
        "x.exe.gz",
        "x.exe.gz.bz2",
        "x.exe .xz",
        "x. exe",
        "\t.exe",
        "x.js",
        "letter\u202efdp.exe",
        "letter\u202eexe.pdf",
        "letter\u2066.pdf",
    ],
)
async def test_blocked_names_are_refused_without_a_look(name: str) -> None:
    verdict, asked = await judge(with_parts(attached("innocent.txt", name)))
    assert isinstance(verdict, Refuse)
    assert (verdict.reply.code, verdict.reply.enhanced) == (550, "5.7.1")
    assert asked == 0
    assert name not in verdict.reply.text + verdict.reason
    assert verdict.reply.text.isascii()


@pytest.mark.parametrize(
    "name", ["letter.pdf", "setup.exe.txt", "exe", "my.exercise", "x.executable", "report v1.2 .pdf", "x.tar.gz", ""]
)
async def test_other_names_pass(name: str) -> None:
    verdict, asked = await judge(with_parts(attached(name) if name else attached()))
    assert isinstance(verdict, Pass)
    assert asked == 1


async def test_the_list_can_be_changed() -> None:
    assert isinstance((await judge(with_parts(attached("x.exe")), removed=["exe"]))[0], Pass)
    assert isinstance((await judge(with_parts(attached("x.one")), extra=[".ONE"]))[0], Refuse)


async def test_names_of_text_and_of_containers_count_too() -> None:
    assert isinstance((await judge(with_parts(Part("1", "text/plain", 0, 5, names=("x.vbs",)))))[0], Refuse)
    assert isinstance((await judge(with_parts(Part("1", "message/rfc822", 0, 5, names=("x.exe",)))))[0], Refuse)


async def test_a_message_of_text_pays_nothing() -> None:
    alternative = (Part("", "multipart/alternative", 0, 9), Part("1", "text/plain", 0, 4), Part("2", "text/html", 5, 4))
    verdict, asked = await judge(with_parts(*alternative))
    assert isinstance(verdict, Pass)
    assert asked == 0


@pytest.mark.parametrize(
    "file",
    [
        found("a.zip", "docs/invoice.pdf.exe"),
        found("a.zip", "b.tar.gz", "x.js"),
        found("letter.txt", type="application/x-dosexec"),
        found("a.zip", "letter.txt", type="application/x-sharedlib"),
        found("letter.pdf", type="application/vnd.ms-htmlhelp"),
        found("a.zip", "b.7z", type="", encrypted=True),
    ],
)
async def test_what_is_found_inside_is_refused_whatever_the_settings(file: Found) -> None:
    verdict, _ = await judge(
        with_parts(attached("a.zip")), found("fine.txt"), file, macros="pass", encrypted="pass", uninspectable="pass"
    )
    assert isinstance(verdict, Refuse)


@pytest.mark.parametrize("choice", ["refuse", "hold", "pass"])
@pytest.mark.parametrize(
    ("setting", "file"),
    [
        ("macros", found("a.docm", macros=True)),
        ("encrypted", found("a.zip", "letter.pdf", encrypted=True)),
        ("encrypted", found("a.7z", encrypted=True)),
        ("uninspectable", found("a.zip", uninspectable="it is damaged")),
    ],
)
async def test_the_rest_is_a_setting(setting: str, file: Found, choice: str) -> None:
    verdict, _ = await judge(with_parts(attached("a.zip")), file, **{setting: choice})
    assert isinstance(verdict, {"refuse": Refuse, "hold": Hold, "pass": Pass}[choice])


async def test_an_inspection_cut_short_is_uninspectable() -> None:
    verdict, _ = await judge(with_parts(attached("a.zip")), reason="it unpacks to more than the limit")
    assert isinstance(verdict, Refuse)
    assert "unpacks to more than the limit" in verdict.reply.text


async def test_a_structure_out_of_sight_is_uninspectable() -> None:
    hidden = with_parts(Part("", "multipart/mixed", 0, 9, defects=("too-many-parts",)), Part("1", "text/plain", 0, 4))
    assert isinstance((await judge(hidden))[0], Refuse)
    assert isinstance((await judge(hidden, uninspectable="pass"))[0], Pass)


async def test_refusing_wins_over_holding() -> None:
    files = (found("a.docm", macros=True), found("b.zip", encrypted=True))
    verdict, _ = await judge(with_parts(attached("a.zip")), *files, macros="hold", encrypted="refuse")
    assert isinstance(verdict, Refuse)
