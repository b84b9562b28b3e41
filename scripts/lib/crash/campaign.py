"""A campaign: portions of kills and of power cuts, each with an installation of its own."""

from __future__ import annotations

import random
import shutil
import time
from pathlib import Path

from scripts.lib.crash.kills import PATIENCE, Kills, deck
from scripts.lib.crash.power import PowerCuts
from scripts.lib.crash.report import Progress, Report
from scripts.lib.crash.sabotage import PATCHES, SYNCS
from tests.kit.daemon import RELAYD
from tests.kit.process import python

SABOTAGE = (*SYNCS, *PATCHES)
#: Rounds that share an installation. A store grows, and what a cut leaves of it is written out each time.
_KILLS = 48
_CUTS = 6
#: With a promise broken the campaign ends at the first loss, so it looks more often and doesn't wait for what is lost.
_KILLS_SABOTAGED = 3
_PATIENCE_SABOTAGED = 5.0


def run(
    folder: Path,
    rounds: int,
    *,
    seed: int,
    power_cut: bool = False,
    sabotage: str = "",
    quiet: bool = False,
    keep: bool = False,
) -> Report:
    """``rounds`` deaths, half of them power cuts when asked for; all of them when syncs are sabotaged, since nothing
    else shows that. What went well is removed at once unless ``keep`` says otherwise."""
    started = time.monotonic()
    report, random_, progress = Report(seed), random.Random(seed), Progress(rounds, quiet=quiet)
    command = (*python("scripts.lib.crash.sabotage"), sabotage) if sabotage in PATCHES else (RELAYD,)
    skip = SYNCS.get(sabotage, "")
    cuts = rounds if skip else rounds // 2 if power_cut else 0
    kinds = deck(rounds - cuts, random_)
    number = 0
    while (kinds or cuts) and not (sabotage and report.lost):
        number += 1
        place = folder / str(number)
        place.mkdir(parents=True)
        # In turns, so that both are at the same point of their way when the time left is reckoned.
        if cuts > len(kinds):
            portion = min(cuts, _CUTS)
            cuts -= portion
            PowerCuts(place, report, random_, progress, command, skip).run(portion)
        else:
            portion, patience = (_KILLS_SABOTAGED, _PATIENCE_SABOTAGED) if sabotage else (_KILLS, PATIENCE)
            now, kinds = kinds[:portion], kinds[portion:]
            Kills(place, report, random_, progress, command, patience).run(now)
        if report.fine and not keep:
            shutil.rmtree(place)
    report.seconds = round(time.monotonic() - started, 1)
    return report
