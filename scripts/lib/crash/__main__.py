"""``scripts/crash``: the command line of the campaign."""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
import tempfile
from pathlib import Path

from scripts.lib.crash.campaign import SABOTAGE, run
from scripts.lib.crash.sabotage import SYNCS
from tests.kit.preload import unavailable

_DESCRIPTION = """\
Kill relayd again and again while mail comes in and goes out, and compare what was acknowledged with what arrived.
The last line is the result; exit status 0 when nothing was lost and nothing contradicts relayd's journal.
"""
_EPILOG = """\
examples:
  scripts/crash                                  20 kills, at random moments and at named points of the code
  scripts/crash --rounds 300 --power-cut         half of them power cuts: what was not synced is lost, or torn
  scripts/crash --rounds 30 --seed 7             the order of kills that seed 7 gives
  scripts/crash --sabotage no-fsync              relayd without its fsync: must end with losses and exit status 1
"""


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="scripts/crash",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rounds", type=int, default=20, help="deaths (default: %(default)s)")
    parser.add_argument("--power-cut", action="store_true", help="make half of the deaths power cuts")
    parser.add_argument("--sabotage", choices=SABOTAGE, default="", help="break relayd; ends at the first loss")
    parser.add_argument("--seed", type=int, help="repeats an order of deaths")
    parser.add_argument("--json", action="store_true", help="print the whole report as JSON before the last line")
    parser.add_argument("--keep", action="store_true", help="keep the folder, also when all is well")
    parser.add_argument("--quiet", action="store_true", help="no line per round")
    arguments = parser.parse_args()
    if (arguments.power_cut or arguments.sabotage in SYNCS) and unavailable():
        parser.error(f"the recorder can't be built here: {unavailable()}")
    seed = arguments.seed if arguments.seed is not None else random.SystemRandom().randrange(10**6)
    folder = Path(tempfile.mkdtemp(prefix="relayd-crash-", dir="/var/tmp"))
    report = run(
        folder,
        arguments.rounds,
        seed=seed,
        power_cut=arguments.power_cut,
        sabotage=arguments.sabotage,
        quiet=arguments.quiet,
        keep=arguments.keep,
    )
    if arguments.json:
        print(json.dumps(vars(report)))
    for line in report.explanation():
        print(line, file=sys.stderr)
    if report.fine and not arguments.keep:
        shutil.rmtree(folder)
    else:
        print(f"seed {seed}; everything is kept in {folder}", file=sys.stderr)
    print(report.line)
    return 0 if report.fine else 1


if __name__ == "__main__":
    sys.exit(main())
