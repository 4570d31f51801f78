"""What vLLM needs on a CPU so that a trainer can load new weights into it; nothing of this is needed on a GPU."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ENVIRONMENT = {
    "VLLM_CPU_KVCACHE_SPACE": "1",  # GiB
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "TORCH_COMPILE_DISABLE": "1",  # small functions are compiled anew for 20 s otherwise
    "HF_HUB_OFFLINE": "1",
    "OMP_NUM_THREADS": "2",
    "TRL_EXPERIMENTAL_SILENCE": "1",
    "VLLM_PLUGINS": "",
}
UNPACKED = {"VLLM_PLUGINS": "unpacked_weights"}
"""For a vLLM that gets new weights: `keep_weights_unpacked` in each of its processes (see `name_distribution`)."""


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


def send_weights_by_file(folder: Path) -> None:
    """TRL's client sends weights to a server through a file in `folder`, which the server then loads.

    TRL sends them by NCCL, which needs GPUs, and refuses a trainer on another device.
    """
    from safetensors.torch import save_file
    from trl.generation.vllm_client import VLLMClient

    def init_communicator(self, device: Any = 0) -> None:
        for file in Path(self.get_server_info()["model_config"]["model"]).glob("*.json"):
            shutil.copy(file, folder)

    def update_named_params(self, metadata: Any, named_params: Iterable) -> None:
        weights = {name: weight.detach().contiguous().clone() for name, weight in named_params}
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
        call = {"method": "reload_weights", "kwargs": {"weights_path": str(folder)}, "timeout": 60}
        self.session.post(f"{self.base_url}/collective_rpc", json=call).raise_for_status()

    VLLMClient.init_communicator = init_communicator
    VLLMClient.update_named_params = update_named_params


@contextmanager
def served(model: str, log: Path, *options: str, **variables: str) -> Iterator[str]:
    """The address of a `vllm serve` of this model on loopback, in float32."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "vllm.entrypoints.cli.main", "serve", model, "--host", "127.0.0.1"]
    command += ["--port", str(port), "--dtype", "float32", "--enforce-eager", "--max-model-len", "128", *options]
    url = f"http://127.0.0.1:{port}"
    with log.open("w") as output:
        process = subprocess.Popen(command, env=environment(**variables), stdout=output, stderr=output)
    try:
        deadline = time.monotonic() + 420
        while True:
            assert process.poll() is None, log.read_text()[-3000:]
            assert time.monotonic() < deadline, log.read_text()[-3000:]
            try:
                urllib.request.urlopen(f"{url}/v1/models", timeout=5)
                break
            except OSError:
                time.sleep(0.5)
        yield url
    finally:
        process.terminate()
        process.wait(timeout=60)
