"""What a seed draws is the same everywhere, and nothing twice."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from contract_tests.clients.directives.base import Family
from contract_tests.clients.directives.drawn import MOST, drawn

PROGRAM = """
import json
from contract_tests.clients.directives.base import Family
from contract_tests.clients.directives.drawn import drawn
print(json.dumps([[one.name for one in made] for made in drawn(frozenset(Family), 100, 7)]))
"""


def test_a_seed_draws_the_same_in_every_program() -> None:
    """Hypothesis itself draws numbers that it finds in the modules of the program, and here are many more of them."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [[one.name for one in made] for made in drawn(frozenset(Family), 100, 7)]


@pytest.mark.parametrize("seed", [0, 1, 2**32])
def test_what_is_drawn_is_of_the_families_and_each_is_new(seed: int) -> None:
    families = frozenset({Family.SLOW_JOB, Family.BUSY_FETCH})
    made = drawn(families, 20, seed)
    assert {one.family for several in made for one in several} <= families
    assert len({tuple(one.name for one in several) for several in made}) == len(made)
    assert {len(several) for several in made} <= set(range(1, MOST + 1))
