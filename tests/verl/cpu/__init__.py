"""verl on a machine without an accelerator: what its trainer needs there, for tests only.

verl 0.9.1 has platforms for GPUs and NPUs, and rollout servers of vLLM, SGLang and TensorRT-LLM. This package adds a
CPU platform (`platform`) and a rollout server on plain transformers (`rollout`) through verl's own registries, and
mends one call that cannot work on a CPU (`plugin`). verl's trainer, workers, engines, losses and checkpoints are
untouched.
"""

ENVIRONMENT = {
    "VERL_PLATFORM": "cpu",
    # Under this name verl looks its engines up; nothing runs on it.
    "VERL_ENGINE_DEVICE": "cuda",
    # Every process of a run imports this when it imports verl.
    "VERL_USE_EXTERNAL_MODULES": "tests.verl.cpu.plugin",
}
ROLLOUT = "transformers_cpu"
"""What `actor_rollout_ref.rollout.name` calls the rollout server."""
