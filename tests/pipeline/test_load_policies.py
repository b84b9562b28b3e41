"""From policies.yaml to a pipeline: order, options, own folders, and what each mistake says."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from relayd.clock import SystemClock
from relayd.directory.load import build
from relayd.errors import ConfigurationError
from relayd.pipeline.load import build_pipeline
from relayd.pipeline.policy import OnError
from relayd.pipeline.runner import Pipeline
from relayd.settings.load import load
from tests.kit.configuration import FILES, write_configuration

OWN = """
    from __future__ import annotations

    from pydantic import Field

    from relayd.pipeline.policy import Context, Mail, Options, Policy, Stage
    from relayd.pipeline.verdict import Pass, Verdict


    class Wording(Options):
        words: tuple[str, ...] = Field((), description="x")


    class OwnPolicy(Policy[Wording]):
        name = "own"
        stages = frozenset({Stage.MESSAGE})
        Options = Wording

        async def judge(self, mail: Mail, stage: Stage, context: Context) -> Verdict:
            return Pass("fine")
"""
GUARD = "- {policy: sender}\n"


def folder(tmp_path: Path, policies: str, own: str = OWN) -> Path:
    relayd = dedent(FILES["relayd.yaml"]) + "policy_folders: [own]\n"
    write_configuration(tmp_path, relayd=relayd, policies=policies)
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "own.py").write_text(dedent(own))
    return tmp_path


def pipeline(tmp_path: Path, policies: str, own: str = OWN) -> Pipeline:
    return build_pipeline(load(folder(tmp_path, policies, own)))


def problem(tmp_path: Path, policies: str, own: str = OWN) -> str:
    with pytest.raises(ConfigurationError) as caught:
        pipeline(tmp_path, policies, own)
    return str(caught.value).replace(f"{tmp_path}/", "")


def test_policies_stand_in_the_order_of_the_file_with_their_options(tmp_path: Path) -> None:
    steps = pipeline(
        tmp_path, GUARD + "- {policy: own, words: [a], on_error: skip, timeout: 3s}\n- {policy: recipient_limit}\n"
    ).steps
    assert [step.policy.name for step in steps] == ["sender", "own", "recipient_limit"]
    assert steps[1].policy.options.words == ("a",)
    assert (steps[1].timeout, steps[1].on_error) == (3.0, OnError.SKIP)
    assert steps[2].timeout == steps[2].policy.timeout


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    first = pipeline(tmp_path, GUARD + "- policy: own")
    (tmp_path / "own" / "own.py").write_text(dedent(OWN).replace("fine", "changed"))
    second = build_pipeline(load(tmp_path))
    assert type(first.steps[1].policy) is not type(second.steps[1].policy)
    assert sorted(path.name for path in (tmp_path / "own").iterdir()) == ["own.py"]


@pytest.mark.parametrize(
    ("policies", "own", "says"),
    [
        ("[]", OWN, "policies.yaml:1: the policy sender must stand in the list"),
        ("- {policy: sender, on_error: skip}", OWN, "the policy sender must stand in the list"),
        (GUARD + "- policy: onw", OWN, 'policies.yaml:2: 1.policy: there is no policy onw; did you mean "own"?'),
        (GUARD + "- policy: own\n  wrods: [a]", OWN, 'policies.yaml:3: 1.wrods: unknown key; did you mean "words"?'),
        (GUARD + "- policy: own\n  words: a", OWN, "policies.yaml:3: 1.words: expected a list"),
        (GUARD + "- policy: own", "x = (", "1.policy: own/own.py:1: SyntaxError"),
        (GUARD + "- policy: own", "\n\nimport nothing_like_this", "own/own.py:3: ModuleNotFoundError"),
        (GUARD + "- policy: own", "x = 1", 'own/own.py must hold one subclass of Policy with name = "own"'),
        (GUARD + "- policy: own", OWN.replace('name = "own"', 'name = "other"'), "one subclass of Policy with name"),
        (GUARD + "- policy: own", OWN.replace("frozenset({Stage.MESSAGE})", "frozenset()"), "OwnPolicy needs stages"),
        (GUARD + "- policy: own", OWN.replace("async def", "def"), "OwnPolicy.judge must be async def"),
    ],
)
def test_each_mistake_says_where_and_what(tmp_path: Path, policies: str, own: str, says: str) -> None:
    assert says in problem(tmp_path, policies, own)


async def test_a_policy_that_fails_on_a_sample_is_found_before_it_is_in_force(tmp_path: Path) -> None:
    from relayd.pipeline.trial import try_out

    broken = OWN.replace('return Pass("fine")', "return mail.headers.no_such_thing")
    loaded = load(folder(tmp_path, GUARD + "- policy: own", broken))
    (found,) = await try_out(build_pipeline(loaded), loaded, build(loaded), SystemClock())
    assert str(found).startswith(f"{tmp_path}/policies.yaml:2: 1: the policy own fails on a sample message")
    assert " at own.py:" in str(found)
    assert "AttributeError" in str(found)
