"""The certificates that a server sent, as it sent them."""

from __future__ import annotations

import ssl
from typing import Final

#: What _ssl calls ENCODING_DER.
_DER: Final = 2


def sent_chain(tls: ssl.SSLObject) -> tuple[bytes, ...]:
    """The certificates (DER) just as the server sent them, its own first; decision 050 says why in this way.

    Python 3.13 has a method for it. Before that the object below has it, under the same name; where that is missing
    too there is the server's own certificate at least, which is all that usage 3 needs.
    """
    ask = getattr(tls, "get_unverified_chain", None) or getattr(
        getattr(tls, "_sslobj", None), "get_unverified_chain", None
    )
    if ask is None:
        own = tls.getpeercert(binary_form=True)
        return (own,) if own is not None else ()
    return tuple(one if isinstance(one, bytes) else one.public_bytes(_DER) for one in ask() or ())
