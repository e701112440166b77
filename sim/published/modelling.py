"""How a published evaluation is modelled: the two released versions, and what may be corrected."""

from dataclasses import dataclass, replace


@dataclass(frozen=True, kw_only=True)
class Modelling:
    """What the released versions and a corrected model do differently.

    Attributes
    ----------
    per_head : attention in its real shapes, head by head, at the precision of keys and values;
        otherwise in those of the 2024 release. Batches need it.
    decode_steps : tokens generated after the prompt.
    growing : every one of them sees one token more; otherwise all see the prompt's length.
    full_metadata : BitMoD's 3- and 4-bit groups store scale and selector, 10 bits per 128 weights;
        otherwise the scale alone, 8 bits.
    full_width : a step reads all the bits that it consumes, in as many accesses as it takes;
        otherwise one access.
    synthesised_pe : PE energies as synthesised; otherwise those of the configuration.
    encoder : the term encoder's energy counts.
    accumulators : the additions of scaled groups and the scaling of outputs count.
    """

    per_head: bool = False
    decode_steps: int = 20
    growing: bool = False
    full_metadata: bool = False
    full_width: bool = False
    synthesised_pe: bool = False
    encoder: bool = False
    accumulators: bool = False

    def without_energy(self) -> "Modelling":
        """The same without what changes energies alone."""
        return replace(
            self, full_width=False, synthesised_pe=False, encoder=False, accumulators=False
        )


#: the compatibility models, by the year of the release that they reproduce
VARIANTS = {"2024": Modelling(), "2025": Modelling(per_head=True)}
CORRECTED = Modelling(
    per_head=True,
    decode_steps=256,
    growing=True,
    full_metadata=True,
    full_width=True,
    synthesised_pe=True,
    encoder=True,
    accumulators=True,
)
