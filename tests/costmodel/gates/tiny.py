"""A library of three cells and a netlist of two, small enough to work out by hand."""

from costmodel.gates.netlist import Instance, Netlist
from costmodel.gates.saif import Toggles

LIBRARY = """
library (tiny) {
  time_unit : "10ps";
  voltage_unit : "1V";
  capacitive_load_unit (10,ff);
  leakage_power_unit : "1nW";
  power_lut_template (square) {
    variable_1 : input_transition_time;
    variable_2 : total_output_net_capacitance;
    index_1 ("0, 20");
    index_2 ("0, 1");
  }
  lu_table_template (turned) {
    variable_1 : total_output_net_capacitance;
    variable_2 : input_net_transition;
    index_1 ("0, 1");
    index_2 ("0, 20, 40");
  }
  wire_load (large) { capacitance : 1; slope : 2; fanout_length (1, 5); }
  default_wire_load : "large";
  /* pin A of an inverter { is no brace */
  cell (INV) {
    area : 2;
    cell_leakage_power : 0.5;
    pin (A) { direction : input; capacitance : 0.2; }
    pin (Y) {
      direction : output; function : "(!A)";
      timing () {
        related_pin : "A"; timing_sense : negative_unate;
        rise_transition (turned) { values ("1, 2, 3", "5, 6, 7"); }
        fall_transition (scalar) { values ("4"); }
      }
      internal_power () {
        related_pin : "A";
        rise_power (square) { values ("100, 300", "200, 400"); }
        fall_power (scalar) { values ("50"); }
      }
    }
  }
  cell (DFF) {
    area : 5;
    leakage_power () { when : "Q"; value : 0.01; }
    leakage_power () { when : "!Q"; value : 0.02; }
    ff (IQ, IQN) { next_state : "D"; clocked_on : "CK"; }
    pin (CK) {
      direction : input; clock : true; capacitance : 0.4;
      internal_power () {
        when : "(D * Q) + (!D * !Q)";
        rise_power (scalar) { values ("10"); } fall_power (scalar) { values ("10"); }
      }
      internal_power () {
        rise_power (scalar) { values ("20"); } fall_power (scalar) { values ("40"); }
      }
    }
    pin (D) { direction : input; capacitance : 0.1; }
    pin (Q) {
      direction : output; function : "IQ";
      timing () {
        related_pin : "CK";
        rise_transition (scalar) { values ("10"); } fall_transition (scalar) { values ("20"); }
      }
      internal_power () {
        related_pin : "CK";
        rise_power (scalar) { values ("150"); } fall_power (scalar) { values ("250"); }
      }
    }
  }
}
"""

#: a flip-flop and an inverter behind it
NETLIST = Netlist(
    top="tiny",
    instances=(
        Instance(path=("pe_array", "pe_0_1"), cell="DFF", pins={"CK": 2, "D": 3, "Q": 4}),
        Instance(path=("drain",), cell="INV", pins={"A": 4, "Y": 5}),
    ),
    inputs={"aclk": (2,), "d": (3,)},
    outputs={"y": (5,)},
)

#: ten cycles
TOGGLES = Toggles(
    duration=10,
    high={"n2": 0.0, "n3": 0.5, "n4": 0.5, "n5": 0.5},
    changes={"n2": 0, "n3": 6, "n4": 4, "n5": 4},
)
