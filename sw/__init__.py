"""The numbers: formats, quantizers, accumulator bounds, models, compiler, golden model."""
