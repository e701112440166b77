"""How much of a job the fast view looks at."""

from sim import Rates, state
from sim.array import run_to_end
from sim.jobs import Jobs
from sw.compile import GemmShape, Machine


def visited_groups(built: Machine, shape: GemmShape, rates: Rates | None = None) -> int:
    """Groups that are gone through chunk by chunk, of all those of a job."""
    return int(run_to_end(Jobs.of(built, shape), rates)[state.VISITED])
