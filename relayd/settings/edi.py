"""EDI in the in-box: the rules of organisations.yaml that say in which form it arrives, and the gateway."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from relayd.settings.values import DomainName, Name, Settings

#: A form that a mail can take.
Form = Literal["untouched", "html", "pdf", "edifact", "edi-xml", "hl7", "v2.xml", "folder", "system"]


def _pattern(value: str) -> str:
    if not value or value != value.strip():
        raise ValueError('expected text, in which * stands for anything, such as "MED*"')
    return value


def _number(value: str) -> str:
    if not value or len(value) > 70 or not value.isprintable() or any(sign in value for sign in " ,="):
        raise ValueError('expected a number in quotes, such as "500000001"')
    return value


Pattern = Annotated[str, AfterValidator(_pattern)]
EdiNumber = Annotated[str, AfterValidator(_number)]


class EdiRuleSettings(Settings):
    """One in-box rule. The first whose words all match a message of the mail decides for the whole mail; * stands for
    anything, and upper and lower case are the same."""

    mailboxes: tuple[Pattern, ...] = Field((), description="For these addresses only; for all when empty.")
    type: Pattern = Field("*", description='The type: MEDLAB, "ORU^R01", "MED*".')
    version: Pattern = Field("*", description='The version: "1", "2.5", "D:93A:UN:MRPN32".')
    sender: Pattern = Field(
        "*", description="Who sends: the number in UNB, or application^facility of MSH-3 and MSH-4."
    )
    format: Literal["edifact", "hl7", "edi-xml", "v2.xml"] | None = Field(None, description="How it is written.")
    form: Form = Field(
        description="How it arrives. untouched: as it came. html: a mail that can be read. pdf: a mail with a PDF. "
        "edifact, edi-xml, hl7, v2.xml: a mail with a file of that format. folder: files. system: HL7 by MLLP."
    )
    folder: Name | None = Field(None, description="form: folder: a name under folders in relayd.yaml.")
    system: Name | None = Field(None, description="form: system: a name under systems in relayd.yaml.")
    content: Literal["untouched", "html", "pdf", "edifact", "edi-xml", "hl7", "v2.xml"] = Field(
        "untouched", description="form: folder: what the files hold."
    )
    receipt: bool = Field(
        False, description="form: folder: tell the sender that the files were written, though he didn't ask."
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.form == "folder" and self.folder is None:
            raise ValueError("form: folder needs folder, a name under folders in relayd.yaml")
        if (self.form == "system") != (self.system is not None):
            raise ValueError("form: system goes with system, a name under systems in relayd.yaml")
        if self.form != "folder" and (self.folder or self.content != "untouched" or self.receipt):
            raise ValueError("folder, content and receipt are for form: folder")
        return self


class EdiSettings(Settings):
    """EDI that is addressed by the receiver's number."""

    gateway: DomainName | None = Field(
        None,
        description="A domain whose mail is delivered by number: NUMBER@gateway to that number's mailbox, edi@gateway "
        "to that of the receiver whom the message names.",
    )
