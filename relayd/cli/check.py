"""``relayd check``: is the configuration right?"""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

from relayd.cli.common import add_config, add_json, print_json
from relayd.clock import Clock, SystemClock
from relayd.directory.load import build
from relayd.errors import ConfigurationError, Problem
from relayd.pipeline.load import build_pipeline
from relayd.pipeline.trial import try_out
from relayd.settings.load import Loaded, load
from relayd.settings.machine import missing_or_unfit


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``check``."""
    parser = commands.add_parser(
        "check",
        help="find every mistake in the configuration",
        description="Read the whole configuration folder and say every mistake in it, as FILE:LINE: KEY: what to write "
        "instead. Also looks at the certificates, keys and secrets it names, and tries the policies on sample "
        "messages. Changes nothing. Exit status 1 when there is a mistake.",
        epilog="examples:\n  relayd check --config /etc/relayd\n  relayd check && relayd reload",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_config(parser)
    add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the problems, or what the configuration amounts to."""
    folder = Path(arguments.config)
    loaded, problems = examine(folder, SystemClock())
    if arguments.json:
        print_json({"ok": not problems, "problems": [_facts(one) for one in problems], "summary": _summary(loaded)})
    elif problems:
        for problem in problems:
            print(problem)
        print(f"{len(problems)} mistake{'' if len(problems) == 1 else 's'}")
    else:
        print(f"{folder}: no mistakes: {', '.join(f'{count} {what}' for what, count in _summary(loaded).items())}")
    return 1 if problems else 0


def examine(folder: Path, clock: Clock) -> tuple[Loaded | None, list[Problem]]:
    """All that can be wrong with the configuration in ``folder``."""
    try:
        loaded = load(folder)
    except ConfigurationError as error:
        return None, error.problems
    problems = missing_or_unfit(loaded, clock.now())
    try:
        pipeline = build_pipeline(loaded)
    except ConfigurationError as error:
        return loaded, problems + error.problems
    return loaded, problems + asyncio.run(try_out(pipeline, loaded, build(loaded), clock))


def _facts(problem: Problem) -> dict[str, str | int | None]:
    return {"file": str(problem.file), "line": problem.line, "key": problem.key, "text": problem.text}


def _summary(loaded: Loaded | None) -> dict[str, int]:
    if loaded is None:
        return {}
    return {
        "listeners": len(loaded.configuration.listeners),
        "policies": len(loaded.policies),
        "organisations": len(loaded.organisations.organisations),
        "domains": len(loaded.domainbook),
        "accounts": len(loaded.accounts),
    }
