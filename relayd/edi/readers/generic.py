"""Messages of any other type: each segment with the names of what it has, texts joined."""

from __future__ import annotations

from relayd.edi.edifact import Segment
from relayd.edi.model import Fields
from relayd.edi.names import Dialect
from relayd.edi.readers.taking import Draft, Taken, place, text_block, unread
from relayd.edi.readers.un import literal


def read(segments: list[Segment]) -> Draft:
    """What ``segments`` (without UNH and UNT) say, in their order."""
    draft, texts, first, about = Draft(), [], None, None  # type: Draft, list[str], Segment | None, object
    for segment in [*segments, None]:
        elements = segment.elements if segment and segment.tag == "FTX" and len(segment.elements) == 4 else []
        if first and elements[:3] != about:
            draft.blocks.append(text_block(texts, "", place(first), flowing=True))
            texts, first = [], None
        if segment and elements:
            if first is None:
                first, about = segment, elements[:3]
                headed = Taken(segment, Dialect.UN)
                headed.text(4)
                if subject := headed.rest():
                    draft.blocks.append(Fields(subject))
            texts.extend(literal(segment))
        elif segment and segment.raw:
            draft.blocks.append(unread(segment, Dialect.UN))
    return draft
