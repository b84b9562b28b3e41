"""What is in force: configuration, directory, pipeline and signing keys, as one value that reload replaces."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import structlog

from relayd.authenticity.dkim_sign import Signer
from relayd.authenticity.dkim_store import load_signers
from relayd.clock import Clock
from relayd.directory.directory import Directory
from relayd.directory.load import build
from relayd.edi.mapping import read_mapping
from relayd.errors import ConfigurationError, Problem
from relayd.mail.address import Domain
from relayd.pipeline.load import build_pipeline
from relayd.pipeline.runner import Pipeline
from relayd.pipeline.trial import try_out
from relayd.settings.load import Loaded, load
from relayd.settings.machine import missing_or_unfit, out_of_date
from relayd.settings.models import Configuration
from relayd.settings.organisations import scopes

log = structlog.get_logger("relayd.daemon")


@dataclass(frozen=True, slots=True)
class InForce:
    """One consistent state of everything an operator can change. Sessions keep the one they began with."""

    configuration: Configuration
    directory: Directory
    pipeline: Pipeline
    signers: Mapping[Domain, tuple[Signer, ...]]


def load_tried(folder: Path, clock: Clock) -> Loaded:
    """The configuration in ``folder``, sound in itself, fit for this machine, its policies tried on sample messages.

    Raises ConfigurationError with all that is wrong. Runs an event loop of its own.
    """
    loaded = load(folder)
    problems = [*missing_or_unfit(loaded), *unfit_mappings(loaded)]
    if not problems:
        in_force = prepare(loaded)
        problems = asyncio.run(try_out(in_force.pipeline, loaded, in_force.directory, clock))
    if problems:
        raise ConfigurationError(problems)
    for outdated in out_of_date(loaded, clock.now()):
        # Those who check it send us nothing, but what waits here still goes out: better than not to start.
        log.error("certificate_out_of_date", problem=str(outdated))
    return loaded


def unfit_mappings(loaded: Loaded) -> Iterator[Problem]:
    """Every mistake in the tables of laboratory codes, each table read once."""
    files = dict.fromkeys(settings.edi_mapping for _, settings in scopes(loaded.organisations))
    for file in files:
        try:
            if file is not None:
                read_mapping(file)
        except ConfigurationError as error:
            yield from error.problems


def prepare(loaded: Loaded) -> InForce:
    """Build everything from the files. Raises ConfigurationError with all that is wrong."""
    directory = build(loaded)
    signers = load_signers(loaded.configuration.keys)
    return InForce(loaded.configuration, directory, build_pipeline(loaded), signers)
