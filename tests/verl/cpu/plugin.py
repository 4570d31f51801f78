"""Gives verl the CPU platform and the rollout server; imported through `VERL_USE_EXTERNAL_MODULES`."""

import verl.utils.distributed
from verl.plugin.platform.platform_manager import PlatformRegistry
from verl.workers.rollout.base import _ROLLOUT_REGISTRY
from verl.workers.rollout.replica import RolloutReplicaRegistry

from tests.verl.cpu import ROLLOUT
from tests.verl.cpu.platform import CPUPlatform


def load_replica():
    from tests.verl.cpu.rollout import TransformersReplica

    return TransformersReplica


PlatformRegistry.register("cpu")(CPUPlatform)
_ROLLOUT_REGISTRY[(ROLLOUT, "async")] = "tests.verl.cpu.rollout.WeightSync"
RolloutReplicaRegistry.register(ROLLOUT, load_replica)

# verl asks for "cpu:gloo,<device>:<backend>", and torch refuses a device that is named twice.
_initialize = verl.utils.distributed.initialize_global_process_group_ray


def initialize_with_gloo(timeout_second=None, backend=None):
    return _initialize(timeout_second=timeout_second, backend=backend or "gloo")


verl.utils.distributed.initialize_global_process_group_ray = initialize_with_gloo
