"""EDI messages in mail: found by content, read into one model, shown to people, converted to what systems want.

::

    octets ──► detect ──► edifact | hl7 | xml ──► readers/ ──► model ──► presenting ──► HTML, text, PDF
               what is it?  lossless tokens        meaning      │
                                 └──────────── convert ─────────┘

The octets that came are kept for ever; what is shown or converted is made from them again whenever it is needed.
"""
