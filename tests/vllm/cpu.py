"""What vLLM needs on a CPU so that a trainer can load new weights into it; nothing of this is needed on a GPU."""

import os
import sys
from pathlib import Path

ENVIRONMENT = {
    "VLLM_CPU_KVCACHE_SPACE": "1",  # GiB
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "TORCH_COMPILE_DISABLE": "1",  # small functions are compiled anew for 20 s otherwise
    "HF_HUB_OFFLINE": "1",
    "OMP_NUM_THREADS": "2",
    "TRL_EXPERIMENTAL_SILENCE": "1",
}


def keep_weights_unpacked() -> None:
    """Linear layers keep their weights as they are. On a CPU vLLM packs them after loading and drops the originals,
    and can load no others then."""
    from torch.nn.functional import linear
    from vllm.model_executor.layers import utils

    def leave(layer, remove_weight):
        layer.cpu_linear = linear

    utils.dispatch_cpu_unquantized_gemm = leave


def environment(**more: str) -> dict[str, str]:
    """Of a process that uses vLLM on this CPU, with the tests on its path."""
    root = str(Path(__file__).parents[2])
    return (
        os.environ
        | ENVIRONMENT
        | {"PYTHONPATH": root, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
        | more
    )
