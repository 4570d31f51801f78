"""Sampling with `transformers` at a fraction of its cost on a CPU: the same distribution, from less work.

`decoding` is the loop, `cache` what it keeps of earlier tokens.
"""

from abcgrpo.generation.decoding import decode, fast_generation

__all__ = ["decode", "fast_generation"]
