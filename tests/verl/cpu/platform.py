"""A CPU as verl's accelerator platform."""

from contextlib import nullcontext
from typing import Any

import torch
from verl.plugin.platform.platform_base import PlatformBase


class CPUDevice:
    """The functions of `torch.cuda` that verl calls, for a CPU: nothing to move, nothing to wait for, no memory."""

    def __getattr__(self, name: str) -> Any:
        return getattr(torch.cpu, name)

    def is_available(self) -> bool:
        return True

    def get_device_name(self, index: int = 0) -> str:
        return "cpu"

    def set_device(self, index: int | str) -> None: ...

    def synchronize(self, index: int | None = None) -> None: ...

    def empty_cache(self) -> None: ...

    def ipc_collect(self) -> None: ...

    def reset_peak_memory_stats(self, index: int | None = None) -> None: ...

    def memory_allocated(self, index: int | None = None) -> int:
        return 0

    memory_reserved = max_memory_allocated = max_memory_reserved = memory_allocated

    def mem_get_info(self, index: int | None = None) -> tuple[int, int]:
        return 2**34, 2**34

    def manual_seed(self, seed: int) -> None:
        torch.manual_seed(seed)

    manual_seed_all = manual_seed

    def get_rng_state(self, index: int | None = None) -> torch.Tensor:
        return torch.get_rng_state()

    def set_rng_state(self, state: torch.Tensor, index: int | None = None) -> None:
        torch.set_rng_state(state)


class CPUPlatform(PlatformBase):
    """Chosen by `VERL_PLATFORM=cpu` and never by itself."""

    device_name = "cpu"
    vendor_name = "cpu"
    device_module: Any = CPUDevice()

    def is_available(self) -> bool:
        return True

    def is_platform_available(self, use_smi_check=False) -> bool:
        return False

    def current_device(self) -> Any:
        return "cpu"  # what verl moves tensors to

    def device_count(self) -> int:
        return 1

    def set_device(self, device_index) -> None: ...

    def synchronize(self, device_index=None) -> None: ...

    def manual_seed(self, seed) -> None:
        torch.manual_seed(seed)

    manual_seed_all = manual_seed

    def set_allocator_settings(self, settings) -> None: ...

    def empty_cache(self) -> None: ...

    def get_device_capability(self, device_index=0):
        return None, None

    def communication_backend_name(self) -> str:
        return "gloo"

    def visible_devices_envvar(self) -> str:
        return "CUDA_VISIBLE_DEVICES"

    def nvtx_range(self, msg):
        return nullcontext()

    def profiler_start(self) -> None: ...

    def profiler_stop(self) -> None: ...

    def ray_resource_name(self) -> str:
        return "GPU"  # verl counts GPUs or NPUs before it starts: Ray is given a logical one

    def ray_noset_envvars(self) -> list[str]:
        return []

    def is_ipc_supported(self) -> bool:
        return False

    def cudart(self) -> None: ...
