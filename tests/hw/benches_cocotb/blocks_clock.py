"""Clock shared by the benches of the clocked blocks."""

from cocotb.triggers import Timer


async def settle(dut) -> None:
    """Low half of a cycle: inputs set before it have reached all outputs after it."""
    dut.clk.value = 0
    await Timer(1, "ns")


async def edge(dut) -> None:
    """Rising edge and high half."""
    dut.clk.value = 1
    await Timer(1, "ns")
