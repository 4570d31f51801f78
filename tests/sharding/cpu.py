"""What accelerate needs to shard a model over CPU processes; nothing of this is needed on GPUs.

Accelerate looks for a GPU's communication library before it reads that DeepSpeed or FSDP is asked for, and without one
it trains on one process, or drops what was asked for. `allow_cpu_processes` names gloo where it finds none; the device
stays the CPU by ACCELERATE_TORCH_DEVICE. All else is accelerate's own way.
"""

import os
import signal
import subprocess
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


def launch(configuration: str, module: str, *arguments: str, extensions: Path, minutes: float) -> None:
    """Run `module` on two processes as a shipped launch configuration says, in float32; all of them end with this call.

    DeepSpeed compiles its communication into `extensions`. PyTorch's default folder is shared by all runs, and a run
    that is killed while it compiles leaves a lock there, for which every later run waits forever.
    """
    file = ROOT / "src" / "abcgrpo" / "recipes" / "launch" / f"{configuration}.yaml"
    command = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(file)]
    command += ["--num_processes", "2", "--mixed_precision", "no", "--module", module, *arguments]
    cpu = {"ACCELERATE_TORCH_DEVICE": "cpu", "DS_ACCELERATOR": "cpu", "OMP_NUM_THREADS": "1"}
    paths = {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    paths["TORCH_EXTENSIONS_DIR"] = str(extensions)
    with subprocess.Popen(
        command, cwd=ROOT, env=os.environ | cpu | paths, text=True, stderr=subprocess.PIPE, start_new_session=True
    ) as process:
        try:
            _, error = process.communicate(timeout=60 * minutes)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    assert process.returncode == 0, error[-5000:]
