"""Which attachments may pass: by their names, by what they really are, and by what they hold.

Names come first, since they cost nothing: a message with a blocked name is refused without being looked into. Then
the inspector looks at the content, in another process, through archives and embedded messages.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from importlib.resources import files
from typing import ClassVar, Final

from pydantic import Field

from relayd.inspection.candidates import attachments
from relayd.inspection.names import ARCHIVES, extensions, turns_around
from relayd.mail.meta import OUT_OF_SIGHT, Part
from relayd.mail.reply import Reply
from relayd.pipeline.policy import Context, Found, Inspection, InspectionLimits, Mail, Options, Policy, Stage
from relayd.pipeline.verdict import Hold, Pass, Refuse, Verdict
from relayd.settings.values import Size


class Choice(StrEnum):
    """What to do with what isn't forbidden outright."""

    REFUSE = "refuse"
    HOLD = "hold"
    PASS = "pass"  # noqa: S105 - no password


class AttachmentsOptions(Options):
    """Options of ``attachments``."""

    extra: tuple[str, ...] = Field((), description="File name extensions to block too, without the dot.")
    removed: tuple[str, ...] = Field((), description="Extensions of the built-in list to let through.")
    macros: Choice = Field(Choice.REFUSE, description="Office documents with macros.")
    encrypted: Choice = Field(Choice.REFUSE, description="Archives and documents that need a password.")
    uninspectable: Choice = Field(Choice.REFUSE, description="What is damaged, over a limit, or of a closed format.")
    depth: int = Field(5, ge=1, le=20, description="Archives within archives, the outermost counted.")
    members: int = Field(5_000, ge=1, description="Files in all archives of a message together.")
    unpacked: Size = Field(500 * 2**20, description="Octets that all archives of a message may unpack to.")
    ratio: int = Field(200, ge=10, description="Times its own size that an archive may unpack to, beyond 16 MiB.")
    seconds: float = Field(60.0, gt=0, le=60, description="Longest time for one message.")


#: What libmagic calls content that is one of the blocked kinds under whatever name, and that kind's extension.
_KINDS: Final = {
    "application/x-dosexec": "exe",
    "application/vnd.microsoft.portable-executable": "exe",
    "application/x-msdownload": "exe",
    "application/x-executable": "exe",
    "application/x-pie-executable": "exe",
    "application/x-sharedlib": "lib",
    "application/x-mach-binary": "exe",
    "application/x-msi": "msi",
    "application/x-ms-shortcut": "lnk",
    "application/vnd.ms-htmlhelp": "chm",
    "application/java-archive": "jar",
    "application/x-java-applet": "jar",
    "application/vnd.android.package-archive": "apk",
    "application/vnd.ms-cab-compressed": "cab",
    "application/x-iso9660-image": "iso",
    "application/x-apple-diskimage": "dmg",
    "text/x-msdos-batch": "bat",
    "text/x-shellscript": "sh",
}

_NAME: Final = "Attachments of type .{0} are not accepted here; send the content as a document instead"
_DISGUISED: Final = "An attachment is really of type .{0}, which is not accepted here"
_TURNED: Final = "An attachment's name holds characters that change its reading direction; rename it"
_LOCKED_ARCHIVE: Final = "An archive within an archive with a password is not accepted here"
_MACROS: Final = "Documents with macros are not accepted here; save it without macros, or as PDF"
_ENCRYPTED: Final = "Attachments with a password are not accepted here; this way is encrypted already"
_UNINSPECTABLE: Final = "An attachment can't be looked into: {0}; send its files one by one, or as a plain zip"


def blocked_extensions() -> frozenset[str]:
    """The built-in list, from the data file beside this one."""
    lines = files("policies").joinpath("blocked_extensions.txt").read_text(encoding="utf-8").splitlines()
    return frozenset(word for line in lines if not line.startswith("#") for word in line.split())


class AttachmentsPolicy(Policy[AttachmentsOptions]):
    """See the module's text and ``docs/policies/attachments.md``."""

    name = "attachments"
    stages = frozenset({Stage.MESSAGE})
    Options = AttachmentsOptions
    timeout: ClassVar[float] = 120.0

    def __init__(self, options: AttachmentsOptions) -> None:
        super().__init__(options)
        removed = _words(options.removed)
        self._blocked = (blocked_extensions() | _words(options.extra)) - removed
        self._kinds = {kind: word for kind, word in _KINDS.items() if word not in removed}
        self._limits = InspectionLimits(
            depth=options.depth,
            members=options.members,
            unpacked=options.unpacked,
            ratio=options.ratio,
            seconds=options.seconds,
        )

    async def judge(self, mail: Mail, stage: Stage, context: Context) -> Verdict | list[Verdict]:
        candidates = attachments(mail.parts)
        if verdict := self._judge_names(name for part in mail.parts for name in part.names):
            return verdict
        if not candidates:
            return self._judge_structure(mail.parts) or Pass("no attachments")
        inspection = await context.inspector.inspect(mail, self._limits)
        for found in inspection.files:
            if verdict := self._judge_names(found.names) or self._judge_content(found):
                return verdict
        return self._judge_settings(inspection, mail.parts)

    def _judge_names(self, names: Iterable[str]) -> Verdict | None:
        for name in names:
            if turns_around(name):
                return _refuse("a name with direction controls", _TURNED)
            if hits := extensions(name) & self._blocked:
                word = min(hits)
                return _refuse(f"the name ends in .{word}, a blocked extension", _NAME.format(word))
        return None

    def _judge_content(self, found: Found) -> Verdict | None:
        if word := self._kinds.get(found.type):
            return _refuse(f"the content is {found.type}, a blocked kind", _DISGUISED.format(word))
        archive_inside = any(extensions(name) & ARCHIVES for name in found.names)
        if found.encrypted and archive_inside and len(found.chain) > 1:
            # What Gmail refuses as well: nobody can say what is in the inner one.
            return _refuse("an archive within an encrypted archive", _LOCKED_ARCHIVE)
        return None

    def _judge_settings(self, inspection: Inspection, parts: tuple[Part, ...]) -> list[Verdict]:
        options = self.options
        verdicts: list[Verdict] = []
        if any(found.macros for found in inspection.files):
            verdicts.append(_choose(options.macros, "a document with macros", _MACROS))
        if any(found.encrypted for found in inspection.files):
            verdicts.append(_choose(options.encrypted, "an attachment with a password", _ENCRYPTED))
        if reason := _closed(inspection):
            text = _UNINSPECTABLE.format(reason)
            verdicts.append(_choose(options.uninspectable, f"uninspectable: {reason}", text))
        if verdict := self._judge_structure(parts):
            verdicts.append(verdict)
        refusals: list[Verdict] = [verdict for verdict in verdicts if isinstance(verdict, Refuse)]
        return refusals[:1] or verdicts or [Pass(f"{len(inspection.files)} files looked at")]

    def _judge_structure(self, parts: tuple[Part, ...]) -> Verdict | None:
        """Parts that can't all be listed, or be read in one way only, may hold anything."""
        if not any(not OUT_OF_SIGHT.isdisjoint(part.defects) for part in parts):
            return None
        text = "The structure of the message can't be read in full; send it in fewer, simpler parts"
        return _choose(self.options.uninspectable, "uninspectable: the message's own structure", text)


def _closed(inspection: Inspection) -> str:
    """Why something couldn't be looked into, "" when all could."""
    if not inspection.complete:
        return inspection.reason
    return next((found.uninspectable for found in inspection.files if found.uninspectable), "")


def _choose(choice: Choice, reason: str, text: str) -> Verdict:
    if choice is Choice.REFUSE:
        return _refuse(reason, text)
    if choice is Choice.HOLD:
        return Hold(reason)
    return Pass(f"{reason}: let through by setting")


def _refuse(reason: str, text: str) -> Refuse:
    return Refuse(reason, reply=Reply(550, "5.7.1", text))


def _words(listed: Iterable[str]) -> frozenset[str]:
    return frozenset(word.strip().lstrip(".").casefold() for word in listed)
