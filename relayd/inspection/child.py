"""The inspecting process: ``python -m relayd.inspection.child FD``. Started and ended by the worker's inspector.

It opens no files and no network, keeps nothing between two requests, and expects to be killed at any moment. Limits
of the kernel hold whatever a decoder does: memory, processor time, open files, written files, core dumps.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import locale
import mmap
import os
import resource
import socket
import sys
from typing import Final

import magic

from relayd.dumps import forbid_core_dumps
from relayd.inspection.walk import Walk
from relayd.inspection.wire import ANSWER_HEADER, REQUEST_HEADER, Request, decode_request, encode
from relayd.pipeline.findings import Inspection

_PR_SET_NAME: Final = 15
_PR_SET_NO_NEW_PRIVS: Final = 38

#: Held members, their copies while unpacking, and the decoder itself: each at most InspectionLimits.decoder_memory.
_MEMORY_SHARES: Final = 3
_OPEN_FILES: Final = 16
#: Beside the workers' 0: their event loops get a processor first.
_NICENESS: Final = 5


def main(descriptor: int) -> None:
    """Serve one request after the other until the worker closes its end."""
    locale.setlocale(locale.LC_CTYPE, "C.UTF-8")  # else libarchive loses names that aren't ASCII
    detector = magic.Magic(mime=True)
    detector.from_buffer(b"MZ")  # the database is read now, before any limit
    gc.freeze()
    _confine()
    with socket.socket(fileno=descriptor) as channel:
        while (received := _receive(channel)) is not None:
            inspection = _inspect(*received, detector)
            answer = encode(inspection)
            channel.sendall(ANSWER_HEADER.pack(len(answer)) + answer)
            del inspection, answer
            gc.collect()  # what still refers to this message's memory keeps it mapped


def _confine() -> None:
    """What stays forbidden for the rest of this process's life."""
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    prctl(_PR_SET_NAME, b"relayd-inspect", 0, 0, 0)
    prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    forbid_core_dumps()
    with contextlib.suppress(OSError):  # where a container forbids it
        os.nice(_NICENESS)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (_OPEN_FILES, _OPEN_FILES))


def _receive(channel: socket.socket) -> tuple[int, int, int] | None:
    """The descriptor of the memory, the length of the content, the length of the request; None at the end."""
    header, descriptors, _, _ = socket.recv_fds(channel, REQUEST_HEADER.size, 1)
    if len(header) != REQUEST_HEADER.size or len(descriptors) != 1:
        return None
    content, request = REQUEST_HEADER.unpack(header)
    return descriptors[0], content, request


def _inspect(descriptor: int, content_length: int, request_length: int, detector: magic.Magic) -> Inspection:
    try:
        # A private mapping: libarchive wants writable memory, and what it would write goes nowhere.
        memory = mmap.mmap(descriptor, content_length + request_length, access=mmap.ACCESS_COPY)
    finally:
        os.close(descriptor)
    request = decode_request(memory[content_length:])
    _limit_this_request(request)
    try:
        return Walk(request.limits, detector.from_buffer).run(memoryview(memory), request.parts)
    finally:
        _soft_limit(resource.RLIMIT_AS, resource.RLIM_INFINITY)


def _limit_this_request(request: Request) -> None:
    """Memory and processor time beyond what the process has used up to now."""
    with open("/proc/self/statm", encoding="ascii") as statm:
        mapped = int(statm.read().split()[0]) * resource.getpagesize()
    _soft_limit(resource.RLIMIT_AS, mapped + _MEMORY_SHARES * request.limits.decoder_memory)
    used = resource.getrusage(resource.RUSAGE_SELF)
    _soft_limit(resource.RLIMIT_CPU, int(used.ru_utime + used.ru_stime + request.limits.seconds) + 1)


def _soft_limit(which: int, value: int) -> None:
    resource.setrlimit(which, (value, resource.getrlimit(which)[1]))


if __name__ == "__main__":
    main(int(sys.argv[1]))
