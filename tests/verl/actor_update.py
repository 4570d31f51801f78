"""Run by test_actor: verl's FSDP2 actor makes its update on a batch from a file, and what it did goes to another.

    python -m tests.verl.actor_update BATCH RESULT OVERRIDE...

One process, no Ray: `ActorRolloutRefWorker` of verl, its engine, its optimizer, its dispatch to the policy loss.
"""

import os
import socket
import sys

import torch
from tensordict import TensorDict
from torch.distributed.tensor import DTensor
from verl.utils import tensordict_utils
from verl.workers.engine_workers import ActorRolloutRefWorker
from verl.workers.utils.padding import left_right_2_no_padding

from tests.verl.hydra_configs import trainer_config


def main(batch_file: str, result_file: str, *overrides: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    os.environ.update(WORLD_SIZE="1", RANK="0", LOCAL_RANK="0", MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    torch.set_num_threads(1)
    config = trainer_config(*overrides).actor_rollout_ref
    worker = ActorRolloutRefWorker(config, role="actor")
    worker.init_model()

    module = worker.actor.engine.module
    assert all(isinstance(parameter, DTensor) for parameter in module.parameters()), "FSDP2 did not shard"
    before = weights(module)
    data = left_right_2_no_padding(TensorDict(torch.load(batch_file), batch_size=[16]))
    mini_batch = int(config.actor.ppo_mini_batch_size)
    tensordict_utils.assign_non_tensor(
        data,
        calculate_entropy=False,
        distillation_use_topk=False,
        distillation_only=False,
        global_batch_size=mini_batch,
        mini_batch_size=mini_batch,
        epochs=1,
        seed=1,
        dataloader_kwargs={"shuffle": False},
        compute_loss=True,
        temperature=1.0,
    )
    metrics = tensordict_utils.get(worker.update_actor(data), "metrics")
    torch.save({"before": before, "after": weights(module), "metrics": metrics}, result_file)


def weights(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    """The whole tensors behind the sharded parameters."""
    return {
        name: (tensor.full_tensor() if isinstance(tensor, DTensor) else tensor).detach().clone()
        for name, tensor in module.state_dict().items()
    }


if __name__ == "__main__":
    main(*sys.argv[1:])
