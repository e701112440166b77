"""The simulator beside ZigZag, AccelForge and SCALE-Sim: same GEMMs, same run."""
