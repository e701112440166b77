"""Proof that a mutant does what the original does, with Yosys' SAT solver."""

import re
import tempfile
from pathlib import Path

from hw.emit import run_yosys

from .mutants import Mutant, Mutants

_SCRIPT = """
read_rtlil {source}
rename blocks gold
read_rtlil {source}
rename blocks gate
cd gate
{mutate}
cd
dffunmap
{rest}
"""
#: every register cut open: equal outputs and next states for all inputs and all states
_EVERY_STATE = """
splitnets
simplemap
opt_clean -purge
expose -evert-dff gold gate
miter -equiv -flatten -make_outputs gold gate miter
hierarchy -top miter
opt -purge
sat -prove trigger 0 -set-def-inputs -timeout {seconds} miter
"""
#: from the initial state on, by induction over the sequence of outputs
_REACHED_STATES = """
miter -equiv -flatten -make_assert gold gate miter
hierarchy -top miter
opt -purge
sat -tempinduct -prove-asserts -set-def-inputs -maxsteps 8 -timeout {seconds} miter
"""
_PROVED = re.compile(r"SAT proof finished - no model found: SUCCESS|Induction step proven: SUCCESS")


def proof_of_equivalence(mutants: Mutants, mutant: Mutant, seconds: int) -> str | None:
    """``every state`` or ``reached states``: how the mutant was proved equivalent; else None."""
    mutate = re.sub(r"-module \S+", "-module gate", mutant.command)
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "flat.il"
        source.write_text(mutants.flat)
        for name, rest in (("every state", _EVERY_STATE), ("reached states", _REACHED_STATES)):
            script = _SCRIPT.format(source=source, mutate=mutate, rest=rest)
            try:
                log = run_yosys(script.format(seconds=seconds))
            except RuntimeError:  # a mutant may take away the register that a name belongs to
                continue
            if _PROVED.search(log):
                return name
    return None
