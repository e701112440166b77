"""FPGA families: how Yosys maps to them, and how their cells are counted."""

import re
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What a design takes, or what a device has."""

    lut: int
    flip_flops: int
    bram: int
    dsp: int


@dataclass(frozen=True, kw_only=True)
class Family:
    """An FPGA family and how its cells are counted.

    Attributes
    ----------
    script : Yosys command without and with inference of multiplier blocks.
    luts : look-up tables that one cell of a kind takes.
    carry : kind of the carry cells.
    flip_flops, dsps : pattern of the names of these cells.
    brams : pattern of the names of block RAMs, and blocks that one takes.
    """

    script: tuple[str, str]
    luts: dict[str, int]
    carry: str
    flip_flops: str
    dsps: str
    brams: dict[str, int] = field(default_factory=dict)

    def resources(self, cells: dict[str, int]) -> Resources:
        """Count ``cells``, by kind."""

        def count(pattern: str) -> int:
            return sum(number for cell, number in cells.items() if re.fullmatch(pattern, cell))

        return Resources(
            lut=sum(cells.get(cell, 0) * luts for cell, luts in self.luts.items()),
            flip_flops=count(self.flip_flops),
            bram=sum(count(pattern) * blocks for pattern, blocks in self.brams.items()),
            dsp=count(self.dsps),
        )


#: a carry cell of ECP5 and Nexus takes both LUT4s of a slice, whether it adds or only passes a
#: carry; a LUT4 adder bit of iCE40 shares its cell with the carry, so that only the LUT is counted.
#: A block RAM is one of 18 kbit (xc7: half a RAMB36), of iCE40 one of 4 kbit.
FAMILIES = {
    "xc7": Family(
        script=(
            "synth_xilinx -family xc7 -abc9 -nodsp -noiopad -noclkbuf -flatten",
            "synth_xilinx -family xc7 -abc9 -noiopad -noclkbuf -flatten",
        ),
        luts={f"LUT{n}": 1 for n in range(1, 7)}
        | {"INV": 1, "SRL16E": 1, "SRLC32E": 1}
        | {"RAM32M": 4, "RAM64M": 4, "RAM32X1D": 2, "RAM64X1D": 2, "RAM128X1D": 4},
        carry="CARRY4",
        flip_flops=r"FD[RSCP]E(_1)?",
        dsps="DSP48E1",
        brams={"RAMB18E1": 1, "RAMB36E1": 2},
    ),
    "ecp5": Family(
        script=("synth_ecp5 -abc9 -nodsp", "synth_ecp5 -abc9"),
        luts={"LUT4": 1, "CCU2C": 2, "TRELLIS_DPR16X4": 4},
        carry="CCU2C",
        flip_flops="TRELLIS_FF",
        dsps="MULT18X18D",
        brams={"DP16KD|PDPW16KD": 1},
    ),
    "ice40": Family(
        script=("synth_ice40 -abc9", "synth_ice40 -abc9 -dsp"),
        luts={"SB_LUT4": 1},
        carry="SB_CARRY",
        flip_flops=r"SB_DFF\w*",
        dsps="SB_MAC16",
        brams={r"SB_RAM40_4K\w*": 1},
    ),
    "gowin": Family(
        script=(
            "synth_gowin -family gw2a -noiopads -nodsp",
            "synth_gowin -family gw2a -noiopads",
        ),
        luts={f"LUT{n}": 1 for n in range(1, 5)} | {"ALU": 1, "RAM16SDP4": 4},
        carry="ALU",
        flip_flops=r"DFFN?[RSCP]?E?",
        dsps=r"MULT(9X9|18X18|36X36)|MULT\w*ALU\w*",
        brams={r"(SP|SPX9|SDPB|SDPX9B|DPB|DPX9B|pROM|pROMX9)": 1},
    ),
    "nexus": Family(
        # the pass that finds multiplier blocks ends Yosys 0.70 on designs with a wide product
        script=("synth_nexus -nodsp -noiopad", "synth_nexus -nodsp -noiopad"),
        luts={"LUT4": 1, "WIDEFN9": 2, "CCU2": 2, "DPR16X4": 4},
        carry="CCU2",
        flip_flops=r"FD1P3[BDIJ]X",
        dsps=r"MULT\w*",
        brams={r"(DP|PDP|PDPS|SP)(16K|SC16K)\w*": 1},
    ),
}
