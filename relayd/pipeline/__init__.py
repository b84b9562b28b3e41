"""The policy contract, the runner, and the plan that the verdicts add up to."""
