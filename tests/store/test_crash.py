"""kill -9 in the middle: everything acknowledged is there, verify is clean. And a disk that fills up under SQLite."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.store.rig import Rig

_WORKER = """
    import asyncio, os, sys
    from pathlib import Path
    from relayd.store.records import Settlement, State
    from tests.store.rig import Rig

    async def main(folder):
        rig = Rig(Path(folder))
        store = await rig.open()

        async def client(number):
            size = 100 if number % 4 else 400_000
            while True:
                message = await rig.message(owner="w1", content=b"X: y\\r\\n\\r\\n" + b"z" * size)
                await store.accept(message)
                os.write(1, f"accepted {message.id}\\n".encode())
                done = Settlement(message_id=message.id, number=0, generation=1, state=State.DELIVERED)
                [counted] = await store.settle([done])
                assert counted
                os.write(1, f"settled {message.id}\\n".encode())

        await asyncio.gather(*[client(number) for number in range(8)])

    asyncio.run(main(sys.argv[1]))
"""


def run_until_it_dies(folder: Path, failpoint: str) -> dict[str, str]:
    """What the worker said of each message before it killed itself at ``failpoint``."""
    worker = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(_WORKER), str(folder)],
        env=os.environ | {"RELAYD_FAILPOINT": failpoint, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert worker.returncode == -signal.SIGKILL, worker.stderr
    said: dict[str, str] = {}
    for line in worker.stdout.splitlines():
        word, _, message_id = line.partition(" ")
        said[message_id] = word
    return said


@pytest.mark.parametrize("point", ["body-written", "body-durable", "rows-written", "rows-durable"])
@pytest.mark.parametrize("count", [1, 30])
async def test_everything_acknowledged_survives_a_kill(tmp_path: Path, point: str, count: int) -> None:
    Rig(tmp_path)
    said = run_until_it_dies(tmp_path, f"{point}:{count}")
    rig = Rig(tmp_path)
    assert rig.verify() == []  # before anybody opens it for writing
    store = await rig.open()
    try:
        for message_id, word in said.items():
            [delivery] = await store.deliveries(message_id)
            if word == "settled":
                assert delivery.state == "delivered"
        assert rig.verify() == []
    finally:
        await store.close()
        await rig.blobs.close()
    if count == 30:
        assert said


_FILLING = """
    import asyncio, resource, signal, sys
    from pathlib import Path
    from relayd.errors import StoreUnavailable
    from tests.store.rig import Rig

    async def main(folder):
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        rig = Rig(Path(folder))
        store = await rig.open()
        messages = [await rig.message() for _ in range(400)]
        accepted, refused = [], []
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
        for message in messages[:200]:
            try:
                await store.accept(message)
                accepted.append(message)
            except StoreUnavailable:
                refused.append(message)
        assert accepted and refused, (len(accepted), len(refused))
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        for message in messages[200:] + refused:
            await store.accept(message)
        for message in messages:
            assert len(await store.deliveries(message.id)) == 1
        await store.close()
        store = await rig.open()
        for message in messages:
            assert len(await store.deliveries(message.id)) == 1
        assert rig.verify() == []
        await store.close()
        await rig.blobs.close()

    asyncio.run(main(sys.argv[1]))
"""


def test_a_disk_that_fills_up_is_unavailable_and_works_again_by_itself(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(_FILLING), str(tmp_path)],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
