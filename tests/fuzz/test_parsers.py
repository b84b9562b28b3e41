"""Every parser: its corpus, some thousand mutations of it, and whatever Hypothesis thinks of."""

from __future__ import annotations

from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.mutation import TOKENS, corpus, mutations, targets

TARGETS = targets()
#: Those that are slower per input get fewer of them.
MUTATIONS = {"containers": 60, "replies": 150, "proxy": 150, "accounts": 150, "dsn": 250}


@pytest.mark.parametrize("name", TARGETS)
def test_the_corpus_is_kept_in_order(name: str) -> None:
    assert corpus(name)
    for data in corpus(name):
        TARGETS[name](data)


@pytest.mark.parametrize("name", TARGETS)
def test_mutations_of_the_corpus(name: str) -> None:
    for data in islice(mutations(name, seed=1), MUTATIONS.get(name, 500)):
        try:
            TARGETS[name](data)
        except Exception as error:
            error.add_note(f"scripts/fuzz {name} finds it too; the input was {data!r}")
            raise


@pytest.mark.parametrize("name", TARGETS)
def test_any_octets(name: str) -> None:
    target = TARGETS[name]
    inputs = st.lists(st.one_of(st.sampled_from([*TOKENS, *corpus(name)]), st.binary(max_size=20)), max_size=8)

    @settings(max_examples=min(100, MUTATIONS.get(name, 100)))
    @given(inputs.map(b"".join))
    def run(data: bytes) -> None:
        target(data)

    run()
