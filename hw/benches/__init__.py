"""Test benches that `bitsmith verify` needs at run time."""
