"""Memories and wires in energy, area and time: SRAM, DRAM, on-chip distribution."""
