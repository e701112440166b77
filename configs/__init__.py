"""What to build and run: presets (YAML), their schema, and the derived stage latencies."""
