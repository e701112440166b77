"""Prices of a technology: fits of its cell library, scaled to its node and supply."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import get_args

from configs.errors import InputError, unknown_name
from configs.figure import Figure
from configs.schema import TechnologyConfig
from sw.compile import Machine

from .calibration.files import FITS, AsicFit, library_command, load_fit
from .estimate import Estimate
from .gates import EnergyFit, load_energy_fit
from .gates.fit import DATA
from .linear import LinearModel
from .memory.sram import Sram
from .memory.wires import wire_fj_per_bit_mm
from .scaling import Quantity, scale, scaling_source
from .structure import Structure

#: what no library gives; every technology file does
REQUIRED_FIGURES = ("stream_mm", "dram_energy_pj_per_bit")
#: node and supply that the SRAM model was fitted at
SRAM_NM, SRAM_VOLTS = 28, 0.9


@dataclass(frozen=True, kw_only=True)
class Technology:
    """What parts of circuits take in one technology, every price with its interval.

    Attributes
    ----------
    config : node, supply, library, and the figures that no library gives.
    asic : areas and delays of the library.
    energy : energies, clock and leakage of the library.
    data : what the operands are: ``real`` weights and activations of a language model, ``random``
        numbers, or mostly zeros (``zero_rich``).
    """

    config: TechnologyConfig
    asic: AsicFit
    energy: EnergyFit
    data: str = "real"

    def __post_init__(self) -> None:
        if self.data not in DATA:
            raise unknown_name("kind of data", self.data, DATA)
        for name in self.config.figures:
            if name not in REQUIRED_FIGURES:
                place = f"figure in technology '{self.config.name}'"
                raise unknown_name(place, name, REQUIRED_FIGURES)
        for name in REQUIRED_FIGURES:
            if name not in self.config.figures:
                raise InputError(f"technology '{self.config.name}': figure '{name}' is missing")

    @classmethod
    def of(cls, config: TechnologyConfig, *, data: str = "real") -> "Technology":
        """The prices behind a configuration.

        Raises
        ------
        InputError : a fit is missing, a figure is missing or unknown, or no scaling is published
            for the node.
        """
        where = FITS if config.fits is None else Path(config.fits)
        return cls(
            config=config,
            asic=load_fit(config.library, where=where),
            energy=load_energy_fit(config.library, where=where),
            data=data,
        )

    def factor(self, quantity: Quantity) -> Estimate:
        """From the library's node and supply to this technology's."""
        return self._factors[quantity]

    @cached_property
    def _factors(self) -> dict[Quantity, Estimate]:
        fit, config = self.asic, self.config
        return {
            quantity: scale(
                quantity,
                from_nm=int(fit.node_nm),
                from_volts=fit.volts,
                to_nm=config.node_nm,
                to_volts=config.volts,
            )
            for quantity in get_args(Quantity)
        }

    def area_um2(self, component: str, structure: Structure) -> Estimate:
        """Area of parts of a component; storage in SRAM is apart."""
        return self.asic.area(component, structure).times(self._price_factor("area", component))

    def cells_um2(self, total: float) -> Estimate:
        """Area of all blocks of a machine together, of which ``total`` is expected.

        The interval is that of whole cores left out of the fit: errors of blocks do not all go in
        the same direction.
        """
        error = self.area_model("core").error.interval_percent / 100
        factor = self.factor("area")
        shares = factor.per(factor.value)
        return Estimate.within(total, error).times(shares)

    def composition(self, component: str) -> float:
        """What synthesis makes of a component's blocks inside a core, over what they are alone."""
        kind = "control_um2" if component == "control" else "datapath_um2"
        return self.area_model("core").terms[kind]

    def area_model(self, component: str) -> LinearModel:
        """The fit behind areas of a component, not scaled."""
        return self._model(self.asic.area_um2, component)

    def energy_pj(self, component: str, structure: Structure) -> Estimate:
        """Energy of new data in parts of a component, the clock apart."""
        found = self.energy_model(component).estimate(vars(structure))
        return found.times(self._price_factor("energy", component))

    def data_factor(self, component: str) -> Estimate:
        """Energy on the data that are assumed over that on real data; limits: of single cores."""
        factors = self.energy.data_factors[self.data]
        return factors.get(component, factors["core"])

    def _price_factor(self, quantity: Quantity, component: str) -> Estimate:
        """From a component's prices in the library to those of this technology and data."""
        known = self._price_factors
        if (quantity, component) not in known:
            energy = quantity == "energy"
            of_its_own = self.data_factor(component) if energy else self.composition(component)
            known[quantity, component] = self.factor(quantity).times(of_its_own)
        return known[quantity, component]

    @cached_property
    def _price_factors(self) -> dict[tuple[Quantity, str], Estimate]:
        return {}

    def energy_model(self, component: str) -> LinearModel:
        """The fit behind energies of a component, not scaled."""
        return self._model(self.energy.energy_pj, component)

    def _model(self, models: dict[str, LinearModel], component: str) -> LinearModel:
        if component not in models:
            name = self.config.library
            command = library_command(name, Path(self.config.fits or FITS))
            raise InputError(
                f"fit '{name}' has no prices of '{component}'; make it again with '{command}'"
            )
        return models[component]

    @cached_property
    def clock_pj_per_bit(self) -> Estimate:
        """Both clock edges at a flip-flop, whatever its data."""
        return self.energy.clock_energy_pj_per_bit.times(self.factor("energy"))

    @cached_property
    def leakage_mw_per_mm2(self) -> Estimate:
        """Static power of an area in this technology."""
        # power scales by its own factor, the area that it is divided by with that of areas
        power = self.energy.leakage_mw_per_mm2.times(self.factor("leakage"))
        return power.per(self.factor("area").value)

    @cached_property
    def wire_pj_per_bit_mm(self) -> Estimate:
        """A bit over a millimetre of wire."""
        return wire_fj_per_bit_mm(nm=self.config.node_nm, volts=self.config.volts).per(1000)

    @cached_property
    def stream_pj_per_bit(self) -> Estimate:
        """A bit over the wire between a stream port and the array."""
        return self.wire_pj_per_bit_mm.times(Estimate.of(self.config.figures["stream_mm"]))

    @property
    def dram_pj_per_bit(self) -> Estimate:
        """External memory, where no memory configuration says otherwise."""
        return Estimate.of(self.config.figures["dram_energy_pj_per_bit"])

    def sram_factor(self, quantity: Quantity) -> Estimate:
        """From the SRAM model's node and supply to this technology's."""
        return scale(
            quantity,
            from_nm=SRAM_NM,
            from_volts=SRAM_VOLTS,
            to_nm=self.config.node_nm,
            to_volts=self.config.volts,
        )

    def sram_area_um2(self, sram: Sram) -> Estimate:
        """Area of a memory."""
        return sram.area_um2.times(self.sram_factor("area"))

    def sram_pj_per_bit(self, sram: Sram, *, write: bool) -> Estimate:
        """A bit read or written, in whole words."""
        access = sram.write_pj if write else sram.read_pj
        return access.times(self.sram_factor("energy")).per(sram.width_bits)

    @cached_property
    def sram_leakage_mw(self) -> Estimate:
        """Static power of a stored bit."""
        macro = Sram(bits=1 << 20, width_bits=64)
        return macro.leakage_mw.per(macro.bits).times(self.sram_factor("leakage"))

    def sram_figures(self, name: str, sram: Sram) -> dict[str, Figure]:
        """Prices of one memory, with their source."""
        source = (
            f"model fitted to CACTI 7 (costmodel/memory/sram.py): {sram.bits // 8:,} bytes, words "
            f"of {sram.width_bits} bits, {sram.banks} banks, {sram.ports}"
        )
        prices = {
            "area_um2": self.sram_area_um2(sram),
            "read_pj_per_bit": self.sram_pj_per_bit(sram, write=False),
            "write_pj_per_bit": self.sram_pj_per_bit(sram, write=True),
        }
        return {f"{name}.{key}": _figure(p, "fitted", source) for key, p in prices.items()}

    def fmax_mhz(self, machine: Machine) -> Estimate:
        """Clock that the slowest path of the cells allows, wires not counted."""
        delay = self.asic.critical_path_ps(machine).times(self.factor("delay"))
        return Estimate(value=1e6 / delay.value, low=1e6 / delay.high, high=1e6 / delay.low)

    def figures(self, components: Iterable[str]) -> Iterator[tuple[str, Figure]]:
        """Every figure behind prices of some components, with its source."""
        for name in sorted(set(components)):
            if name not in self._component_figures:
                self._component_figures[name] = tuple(self._figures_of(name))
            yield from self._component_figures[name]
        yield from self._common_figures

    @cached_property
    def _component_figures(self) -> dict[str, tuple[tuple[str, Figure], ...]]:
        return {}

    def _figures_of(self, name: str) -> Iterator[tuple[str, Figure]]:
        """Those of one component."""
        yield from self._coefficients("area_um2", name, self.area_model(name), "netlists")
        if name in self.energy.energy_pj:
            model = self.energy_model(name)
            yield from self._coefficients("energy_pj", name, model, "jobs of cores")

    @cached_property
    def _common_figures(self) -> tuple[tuple[str, Figure], ...]:
        """Those of all machines."""
        return tuple(self._other_figures())

    def _other_figures(self) -> Iterator[tuple[str, Figure]]:
        """Clock, leakage, wires, what the technology says itself, and scaling."""
        measured = f"{self.config.library}: "
        clock = "clock pins of the flip-flop, internal power and capacitance; no clock tree"
        yield (
            "clock_energy_pj_per_bit",
            _figure(self.clock_pj_per_bit, "measured", measured + clock),
        )
        leakage = "cell leakage of the calibrated netlists over their area"
        yield (
            "leakage_mw_per_mm2",
            _figure(self.leakage_mw_per_mm2, "measured", measured + leakage),
        )
        macros = "cells of SRAM by CACTI 7, low leakage at 360 K (costmodel/memory/sram.py), scaled"
        yield "sram_leakage_mw_per_bit", _figure(self.sram_leakage_mw, "quoted", macros)
        wires = f"wire of {self.config.node_nm} nm: costmodel/memory/wires.py"
        yield "wire_energy_pj_per_bit_mm", _figure(self.wire_pj_per_bit_mm, "quoted", wires)
        yield from sorted(self.config.figures.items())
        for quantity, found in self._factors.items():
            yield f"scaling.{quantity}", _figure(found, "quoted", scaling_source(quantity))

    def _coefficients(
        self, quantity: str, component: str, model: LinearModel, rows: str
    ) -> Iterator[tuple[str, Figure]]:
        """Scaled coefficients of one fit."""
        factor = self._price_factor("area" if quantity == "area_um2" else "energy", component)
        source = f"{self.config.library}: {fit_source(model, rows)}"
        for term, price in model.terms.items():
            unit = quantity if term == "gates" else f"{quantity}_per_{term.removesuffix('s')}"
            within = Estimate.within(price, model.error.interval_percent / 100).times(factor)
            yield f"{component}.{term}.{unit}", _figure(within, "fitted", source)


def fit_source(model: LinearModel, rows: str) -> str:
    """What a fit rests on, in words; ``rows`` is what was measured."""
    error = model.error
    return (
        f"fitted to {error.fitted} {rows}; on {error.held_out} left out of the fit the mean "
        f"error is {error.mean_percent:.1f} %, the worst {error.worst_percent:.1f} %"
    )


def _figure(estimate: Estimate, kind: str, source: str) -> Figure:
    return Figure(
        value=estimate.value,
        low=estimate.low,
        high=estimate.high,
        kind=kind,  # type: ignore[arg-type]
        source=source,
    )
