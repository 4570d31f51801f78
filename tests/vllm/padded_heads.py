"""A Qwen3 with larger attention heads that is the same function: vLLM has kernels for heads of 32, 64, 80, … only.

Every head of the shipped base has 24 numbers. Zeros fill it up to 32, in both halves of the rotary embedding, and do
not change a product of a query and a key, nor a sum of values. Three constants keep the rest:

- The rotary embedding turns pair i of d numbers by θ^(−2i/d). With θ' = θ^(d'/d) pair i of d' numbers is turned alike.
- q_norm and k_norm divide by the root mean square over d' numbers instead of d, which makes them √(d'/d) too large.
- The softmax divides scores by √d' instead of √d. Its factor and q_norm's cancel; k_norm is scaled by √(d/d').

In training the zeros of values stay (their outputs meet zeros), and so does the function's form.
"""

import json
import math
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor


def pad_heads(source: Path, target: Path, size: int) -> Path:
    """Write the model of `source` to `target` with heads of `size` numbers; returns `target`.

    Raises:
        ValueError: heads are larger than `size` already, or a size is odd.
    """
    config = json.loads((source / "config.json").read_text())
    old, size = config["head_dim"], int(size)
    if size < old or old % 2 or size % 2:
        raise ValueError(f"heads of {old} cannot be padded to {size}")
    places = torch.cat([torch.arange(old // 2), size // 2 + torch.arange(old // 2)])

    def padded(weight: Tensor) -> Tensor:
        """Of (heads, old, …) or (old,), along the dimension of a head."""
        at = 0 if weight.dim() == 1 else 1
        shape = list(weight.shape)
        shape[at] = size
        return weight.new_zeros(shape).index_copy(at, places, weight)

    def changed(name: str, weight: Tensor) -> Tensor:
        if ".q_proj." in name or ".k_proj." in name or ".v_proj." in name:
            return padded(weight.unflatten(0, (-1, old))).flatten(0, 1)
        if ".o_proj." in name:
            return padded(weight.T.unflatten(0, (-1, old))).flatten(0, 1).T
        if ".q_norm." in name:
            return padded(weight)
        if ".k_norm." in name:
            return padded(weight * math.sqrt(old / size))
        return weight

    target.mkdir(parents=True, exist_ok=True)
    for file in source.glob("*.json"):
        shutil.copy(file, target)
    config["head_dim"] = size
    config["rope_parameters"]["rope_theta"] **= size / old
    (target / "config.json").write_text(json.dumps(config, indent=2))
    weights = {
        name: changed(name, weight).contiguous() for name, weight in load_file(source / "model.safetensors").items()
    }
    save_file(weights, target / "model.safetensors", metadata={"format": "pt"})
    return target
