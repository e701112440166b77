"""Explore: from a question to a Pareto front (docs/explore.md)."""
