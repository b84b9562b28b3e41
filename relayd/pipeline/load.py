"""From policies.yaml to a pipeline: finds each policy's class, reads its options, keeps the file's order.

A name is looked for in three places: ``policies/`` (what comes with relayd), the ``policy_folders`` of relayd.yaml (a
file ``<name>.py`` with a subclass of Policy), and the entry points of installed packages in the group
``relayd.policies``. What comes with relayd can't be replaced under its own name.
"""

from __future__ import annotations

import importlib
import inspect
import sys
import traceback
from collections.abc import Sequence
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import policies
from relayd.errors import ConfigurationError, Problem
from relayd.pipeline.policy import OnError, Options, Policy, Stage
from relayd.pipeline.runner import Pipeline, Step
from relayd.settings.explain import suggest, validate
from relayd.settings.load import POLICIES, Loaded
from relayd.settings.policies import PolicySettings
from relayd.settings.source import Source

ENTRY_POINTS: Final = "relayd.policies"

#: Without this one, anybody could relay to anybody.
INDISPENSABLE: Final = "sender"
VIEWER: Final = "viewer"
REPLIES: Final = "replies"

_BUILT_IN = Path(policies.__file__).parent


class _Unusable(Exception):
    """Why a policy can't be used, in words for policies.yaml."""


def build_pipeline(loaded: Loaded) -> Pipeline:
    """The pipeline that policies.yaml describes; raises ConfigurationError with every problem."""
    source = loaded.sources[POLICIES]
    folders = loaded.configuration.policy_folders
    problems = [] if any(_guards(entry) for entry in loaded.policies) else [_unguarded(source)]
    steps = []
    for number, entry in enumerate(loaded.policies):
        try:
            kind = find_policy(entry.policy, folders)
        except _Unusable as error:
            problems.append(source.problem([number, "policy"], str(error)))
            continue
        options, found = validate(kind.Options, source, entry.options, [number])
        problems += found
        if options is None:
            continue
        try:
            steps.append(_step(kind, options, entry))
        except Exception as error:
            problems.append(source.problem([number], f"doesn't start: {type(error).__name__}: {error}"))
    if problems:
        raise ConfigurationError(problems)
    return Pipeline(tuple(_with_replies(steps)))


def _with_replies(steps: list[Step]) -> list[Step]:
    """Whoever lets people read in the Viewer lets them answer: the policy for its addresses needn't be listed. It comes
    in front of every policy that gives routes, since none of those may claim the Viewer's domain."""
    names = [step.policy.name for step in steps]
    if VIEWER not in names or REPLIES in names:
        return steps
    policy = find_policy(REPLIES, ())
    first = next(number for number, step in enumerate(steps) if Stage.ROUTE in step.policy.stages)
    own = Step(policy(policy.Options()), policy.timeout, policy.on_error)
    return [*steps[:first], own, *steps[first:]]


def find_policy(name: str, folders: Sequence[Path]) -> type[Policy[Any]]:
    """The class of the policy called ``name``."""
    if (_BUILT_IN / f"{name}.py").exists():
        return _the_class(name, importlib.import_module(f"policies.{name}"))
    for folder in folders:
        if (path := folder / f"{name}.py").exists():
            return _the_class(name, _run(path))
    for entry in entry_points(group=ENTRY_POINTS, name=name):
        try:
            return _fit(name, entry.load())
        except _Unusable:
            raise
        except Exception as error:
            raise _Unusable(f"entry point {entry.value} can't be loaded: {type(error).__name__}: {error}") from error
    raise _Unusable(f"there is no policy {name}; {suggest(name, known_policies(folders))}")


def known_policies(folders: Sequence[Path]) -> set[str]:
    """Every name that policies.yaml could use."""
    files = {path.stem for folder in (_BUILT_IN, *folders) for path in folder.glob("[a-z]*.py")}
    return files | {entry.name for entry in entry_points(group=ENTRY_POINTS)}


def _guards(entry: PolicySettings) -> bool:
    return entry.policy == INDISPENSABLE and entry.on_error != "skip"


def _unguarded(source: Source) -> Problem:
    text = f"the policy {INDISPENSABLE} must stand in the list, and not with on_error: skip: it says who may relay"
    return source.problem([], text)


def _step(kind: type[Policy[Any]], options: Options, entry: PolicySettings) -> Step:
    return Step(
        policy=kind(options),
        timeout=entry.timeout.total_seconds() if entry.timeout else kind.timeout,
        on_error=OnError(entry.on_error) if entry.on_error else kind.on_error,
    )


def _run(path: Path) -> ModuleType:
    """A sysadmin's file as a module of its own, fresh on every reload and without leaving bytecode beside it."""
    module = ModuleType(f"relayd_policy_of_{path.parent.name}_{path.stem}")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module  # where pydantic looks up the names in annotations
    try:
        exec(compile(path.read_bytes(), str(path), "exec"), module.__dict__)  # noqa: S102 (it is the operator's code)
    except Exception as error:
        raise _Unusable(f"{_place(path, error)} {type(error).__name__}: {error}") from error
    return module


def _place(path: Path, error: Exception) -> str:
    if isinstance(error, SyntaxError):
        return f"{path}:{error.lineno}:"
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    return f"{path}:{lines[-1]}:" if lines else f"{path}:"


def _the_class(name: str, module: ModuleType) -> type[Policy[Any]]:
    classes = [
        one
        for one in vars(module).values()
        if inspect.isclass(one) and issubclass(one, Policy) and one.__module__ == module.__name__
    ]
    named = [one for one in classes if getattr(one, "name", None) == name]
    if len(named) != 1:
        raise _Unusable(f'{module.__file__} must hold one subclass of Policy with name = "{name}"')
    return _fit(name, named[0])


def _fit(name: str, kind: Any) -> type[Policy[Any]]:
    if not (inspect.isclass(kind) and issubclass(kind, Policy)):
        raise _Unusable(f"{name} isn't a subclass of Policy")
    stages = getattr(kind, "stages", None)
    if not stages or not all(isinstance(stage, Stage) for stage in stages):
        raise _Unusable(f"{kind.__name__} needs stages, such as frozenset({{Stage.MESSAGE}})")
    if not (inspect.isclass(kind.Options) and issubclass(kind.Options, Options)):
        raise _Unusable(f"{kind.__name__}.Options must be a subclass of Options")
    if not inspect.iscoroutinefunction(kind.judge):
        raise _Unusable(f"{kind.__name__}.judge must be async def")
    return kind
