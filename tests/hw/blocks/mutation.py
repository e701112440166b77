"""How many mutants of each block the batch stimulus finds."""

from typing import Any

from .checks import recordings
from .equivalence import proof_of_equivalence
from .mutants import SEEDS, Mutants
from .registry import block

#: a variant or two per kind, those with most in them
MUTATED = (
    "register_file__sparse",
    "job_control",
    "stream_guard__8",
    "tile_buffer__1_4_words_2_1_2",
    "tile_buffer__2_4_words_2",
    "weight_loader__40_5_parameters",
    "activation_loader__32_4",
    "queue__8_5",
    "walker",
    "sequencer__2_8",
    "term_decoder__mixed_2",
    "pair_decoder__4",
    "special_values__fp4",
    "special_terms__fp4_programmable",
    "column_terms__fp4",
    "column_terms__pairs_signed",
    "float_activations__float16_4_nearest_even_3",
    "float_activations__float8_e5m2_4_fixed",
    "serial_pe__fp4",
    "serial_pe__float_nearest_even_right",
    "multiplier_pe__olive4",
    "aligning_pe__serial_nearest_even_right",
    "aligning_pe__e5m2_ant4",
    "accumulator__saturate_9_8_2",
    "float_accumulator__nearest_even_full_10_14_3",
    "scale_decoder__e4m3_barrel_15",
    "column_scale__e4m3_barrel_0_2",
    "dequantizer_control__4_8_2",
    "activation_sums__unsigned_3_2_2",
    "serial_dequantizer__e4m3",
    "float_dequantizer__e4m3_nearest_even_right",
    "requantizer__2_20_16_6",
    "float_encoder__bfloat16_wide",
    "result_drain__3x2_18_requantized",
    "result_drain__2x3_31_float_6_27",
    "result_port__40_16",
)
PER_SEED = 24
#: least share of the mutants not proved equivalent that must be found
THRESHOLD = 0.95


def measure(name: str, *, seconds: int = 10) -> dict[str, Any]:
    """Counts of a block's mutants, and those that are left; a proof may take some ``seconds``.

    Raises
    ------
    AssertionError : with no mutant chosen, the netlist is not the block.
    """
    mutants = Mutants(block(name), PER_SEED)
    replayed = recordings(mutants.block)
    for recording in replayed:
        # a fault at a register takes its initial value away: before reset nothing is compared
        recording.care[0] = 0
        mismatch = mutants.batch.replay(recording)
        assert mismatch is None, f"without a mutant: {mismatch}"
    survivors = [
        mutant
        for mutant in mutants.mutants
        if all(mutants.batch.replay(r, mutant=mutant.number) is None for r in replayed)
    ]
    proofs = {mutant: proof_of_equivalence(mutants, mutant, seconds) for mutant in survivors}
    left = [mutant for mutant, proof in proofs.items() if proof is None]
    return {
        "seeds": list(SEEDS),
        "mutants": len(mutants.mutants),
        "killed": len(mutants.mutants) - len(survivors),
        "equivalent": len(survivors) - len(left),
        "survivors": [str(mutant) for mutant in left],
    }
