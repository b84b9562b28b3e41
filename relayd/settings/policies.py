"""``policies.yaml``: the policies in the order in which they are asked. Their options are read by the pipeline."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import ConfigDict, Field, RootModel

from relayd.settings.values import Duration, Settings


class PolicySettings(Settings):
    """One policy. Further keys are the policy's own options: see its page in docs/policies/."""

    model_config = ConfigDict(extra="allow")

    policy: str = Field(
        pattern=r"^[a-z][a-z0-9_]*$", description="Its name: a file in policies/ or in one of policy_folders."
    )
    on_error: Literal["defer", "refuse", "skip"] | None = Field(
        None, description="What an exception or timeout of it means; the policy's own choice when absent."
    )
    timeout: Duration | None = Field(None, description="Longest time for one judgement; its own choice when absent.")

    @property
    def options(self) -> dict[str, Any]:
        """The policy's own options as written."""
        return dict(self.model_extra or {})


class PolicyList(RootModel[tuple[PolicySettings, ...]]):
    """The whole of policies.yaml."""
