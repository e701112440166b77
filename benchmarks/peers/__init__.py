"""The simulator beside ZigZag and SCALE-Sim: same GEMMs, same machine, same run."""
