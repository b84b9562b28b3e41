"""Mutates the kept inputs of a parser and looks at what must hold of it: the long form of tests/fuzz.

An input that breaks a parser is written to its corpus, where the tests find it from then on, and ends the run.
"""

from __future__ import annotations

import argparse
import logging
import random
import sys
import time

from tests.fuzz.mutation import Target, keep, mutations, targets

_AT_ONCE = 200


def main() -> int:
    known = targets()
    parser = argparse.ArgumentParser(
        prog="scripts/fuzz", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parser", nargs="*", metavar="PARSER", help=f"which: {', '.join(known)} (default: all)")
    parser.add_argument("--minutes", type=float, default=1.0, help="how long, all together (default: %(default)g)")
    parser.add_argument("--seed", type=int, default=random.randrange(2**32), help="repeat the run with this number")
    arguments = parser.parse_args()
    if unknown := set(arguments.parser) - set(known):
        parser.error(f"no parser is called {', '.join(sorted(unknown))}")
    chosen = {name: known[name] for name in arguments.parser or known}
    logging.disable()  # some libraries describe each wrong input at length
    print(f"seed {arguments.seed}")
    return _run(chosen, arguments.seed, time.monotonic() + arguments.minutes * 60)


def _run(chosen: dict[str, Target], seed: int, end: float) -> int:
    """In turns, so that a short run sees every parser."""
    inputs = {name: mutations(name, seed) for name in chosen}
    tried = dict.fromkeys(chosen, 0)
    while time.monotonic() < end:
        for name, target in chosen.items():
            for _ in range(_AT_ONCE):
                data = next(inputs[name])
                tried[name] += 1
                try:
                    target(data)
                except Exception as error:
                    print(f"{name}: {type(error).__name__}: {error}\n{data!r}\nkept as {keep(name, data, 'crash')}")
                    return 1
                if time.monotonic() > end:
                    break
    print(" ".join(f"{name}:{count}" for name, count in tried.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
