"""``relayd check``: is the configuration right?"""

from __future__ import annotations

import argparse
import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from relayd.authenticity.dkim_store import DkimKeyFiles
from relayd.cli.certificates import shown
from relayd.cli.common import add_config, add_json, print_json
from relayd.cli.dkim_advice import notices_domain, unsigned
from relayd.clock import Clock, SystemClock
from relayd.daemon.in_force import unfit_mappings
from relayd.directory.load import build
from relayd.errors import ConfigurationError, Problem, VaultError
from relayd.pipeline.load import build_pipeline
from relayd.pipeline.trial import try_out
from relayd.settings.load import CONFIGURATION, Loaded, load
from relayd.settings.machine import missing_or_unfit, out_of_date, unshown_logos
from relayd.tls.guideline import Level

_ADVICE: Final = "an ECDSA key on P-256 or RSA of 3072 bits is enough"


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
    notes = _phasing_out(loaded) + _ended(loaded, SystemClock()) + _unsigned_notices(loaded) + _no_sms(loaded)
    if arguments.json:
        facts = [_facts(one) for one in problems]
        print_json({"ok": not problems, "problems": facts, "notes": notes, "summary": _summary(loaded)})
        return 1 if problems else 0
    for note in notes:
        print(f"note: {note}")
    if problems:
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
    problems = [*missing_or_unfit(loaded), *out_of_date(loaded, clock.now()), *_weak_certificates(loaded)]
    problems += unfit_mappings(loaded)
    problems += unshown_logos(loaded)
    try:
        pipeline = build_pipeline(loaded)
    except ConfigurationError as error:
        return loaded, problems + error.problems
    return loaded, problems + asyncio.run(try_out(pipeline, loaded, build(loaded), clock))


def _weak_certificates(loaded: Loaded) -> list[Problem]:
    source = loaded.sources[CONFIGURATION]
    return [
        source.problem([one.key, "certificate"], f"{one.judged.what} is insufficient by NCSC-NL's guideline; {_ADVICE}")
        for one in shown(loaded.configuration)
        if not one.judged.level.passes
    ]


def _phasing_out(loaded: Loaded | None) -> list[str]:
    """What isn't wrong yet."""
    certificates = shown(loaded.configuration) if loaded else ()
    return [
        f"{one.file}: {one.judged.what} is to be phased out by NCSC-NL's guideline of 2025; {_ADVICE}"
        for one in certificates
        if one.judged.level is Level.PHASE_OUT
    ]


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


def _unsigned_notices(loaded: Loaded | None) -> list[str]:
    if loaded is None:
        return []
    domain, files = notices_domain(loaded.configuration), DkimKeyFiles(loaded.configuration.keys)
    try:
        return [] if files.read(domain).signing else [unsigned(domain)]
    except VaultError as error:
        return [str(error)]


def _no_sms(loaded: Loaded | None) -> list[str]:
    if loaded is None or "viewer" not in [entry.policy for entry in loaded.policies]:
        return []
    sms = loaded.configuration.sms
    without = sms.sender == "none" and not sms.gateways
    return ["no SMS gateway is set under sms, so no reader of the Viewer gets a code by SMS"] if without else []


def _ended(loaded: Loaded | None, clock: Clock) -> list[str]:
    """Overrides of DANE and MTA-STS that don't count any more."""
    today = datetime.fromtimestamp(clock.now(), UTC).date()
    listed = loaded.configuration.tls_overrides if loaded is not None else ()
    return [
        f"the TLS override for {one.domain} ended on {one.until}; remove it from {CONFIGURATION}"
        for one in listed
        if one.until < today
    ]
