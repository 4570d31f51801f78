"""The update phase of GRPO at a fraction of its cost, with exactly the same gradient.

`fast` is the trainer's component, `parts` decides what a run can have, `planning` distributes rows, `rows` moves them,
`layout` and `attention` lay them out as `choice` has tried on a `replica` of the model, `flops` and `counts`
say what was saved.
"""

from abcgrpo.trl.update.fast import FastUpdate
from abcgrpo.trl.update.parts import Parts

__all__ = ["FastUpdate", "Parts"]
