"""``python -m hw.proofs [NAME ...]``: run the proofs whose names contain one of the given words."""

import sys
import time

from .catalogue import CLAIMS
from .runner import Verdict, cover, missing_solver, prove


def main(words: list[str]) -> int:
    """Run the chosen proofs and print one line each.

    Returns
    -------
    int : 0 if all are proved and all covers reached, 1 if not, 2 if none could run.
    """
    chosen = [name for name in CLAIMS if not words or any(word in name for word in words)]
    if not chosen:
        print(f"no proof is named like {' or '.join(words)}; there are:", *CLAIMS, sep="\n  ")
        return 2
    if missing_solver():
        print(missing_solver())
        return 2
    return max(_run(name) for name in chosen)


def _run(name: str) -> int:
    """One proof with its covers; 0 if it holds."""
    claim, started = CLAIMS[name], time.perf_counter()
    verdict = prove(claim.harness(), depth=claim.induction, search=claim.induction + 2)
    line = f"{name:45} {verdict.status:8} {verdict.assertions:3} assertions"
    good = verdict.status == "proved"
    verdicts = [verdict]
    if claim.covers:
        covered = cover(claim.harness(), depth=claim.covers)
        line += f", {len(covered.reached):2} covers {covered.status}"
        good = good and covered.status == "reached"
        verdicts.append(covered)
    print(f"{line}, {time.perf_counter() - started:.1f} s", flush=True)
    for each in verdicts:
        _explain(each)
    return 0 if good else 1


def _explain(verdict: Verdict) -> None:
    """What failed, and the values that led there."""
    if verdict.failed:
        print(f"  {verdict.phase}, cycle {verdict.cycle}: {', '.join(verdict.failed)}")
    width = max((len(name) for name in verdict.trace), default=0)
    for name, values in sorted(verdict.trace.items()):
        print(f"    {name:{width}} {' '.join(str(value) for value in values)}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
