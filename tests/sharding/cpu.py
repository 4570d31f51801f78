"""What accelerate needs to shard a model over CPU processes; nothing of this is needed on GPUs.

Accelerate looks for a GPU's communication library before it reads that DeepSpeed or FSDP is asked for, and without one
it trains on one process, or drops what was asked for. `allow_cpu_processes` names gloo where it finds none; the device
stays the CPU by ACCELERATE_TORCH_DEVICE. All else is accelerate's own way.
"""

import os
import sys
from pathlib import Path

from accelerate.state import PartialState
from accelerate.utils import DistributedType

ROOT = Path(__file__).parents[2]


def allow_cpu_processes() -> None:
    """Processes that `accelerate launch` starts talk by gloo where no GPU's library is found."""
    detect = PartialState._prepare_backend

    def prepare_backend(self, cpu=False, sagemaker_dp=False, backend=None):
        found, kind = detect(self, cpu, sagemaker_dp, backend)
        return (found, kind) if found else ("gloo", DistributedType.MULTI_GPU)

    PartialState._prepare_backend = prepare_backend


def environment() -> dict[str, str]:
    """Of `accelerate launch` and its processes."""
    cpu = {"ACCELERATE_TORCH_DEVICE": "cpu", "DS_ACCELERATOR": "cpu", "OMP_NUM_THREADS": "1"}
    return os.environ | cpu | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}


def command(configuration: str, module: str, *arguments: str) -> list[str]:
    """Start `module` on two processes as a shipped launch configuration says, in float32."""
    file = ROOT / "src" / "abcgrpo" / "recipes" / "launch" / f"{configuration}.yaml"
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(file)]
    return [*launch, "--num_processes", "2", "--mixed_precision", "no", "--module", module, *arguments]
