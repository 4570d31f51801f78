"""The trainer overrides or calls private methods of TRL. When one changes, somebody has to read it and look at ours."""

import hashlib
import inspect

import pytest
from trl import GRPOTrainer

READ = {
    "_compute_loss": ("80295546bbdb",),
    "_get_per_token_logps_and_entropies": ("ea73c3909275",),
    "create_model_card": ("4f8a407fd9fd",),
    "compute_loss": ("a2d6ef8bd29c",),
    "log": ("1e7772819cc8",),
    # What exact resume and the guards rely on; transformers' own among them, the
    # older source first: the second came with 5.18, 5.19 or 5.23.
    "_calculate_rewards": ("736ae29b0838",),
    "_finalize_training": ("8fdcb7005e2b", "6d6d83d6a271"),
    "_get_grad_norm": ("913ba6f52f07",),
    "_get_output_dir": ("97172085342a",),
    "_get_train_sampler": ("36497afb4d31",),
    "_init_training_state": ("8fbd17ebb7d3",),
    "_inner_training_loop": ("59b69168df65", "20ec4276e99f"),
    "_load_rng_state": ("d5ebdfc0a088",),
    "_maybe_log_save_evaluate": ("af101534f0f7",),
    "_push_from_checkpoint": ("b336b2f27274", "2523da925347"),
    "_run_epoch": ("ebe374933064", "31aff00f34c3"),
    "_save_checkpoint": ("ec91bde12364",),
}
"""Methods of trl 1.16.0 and transformers 5.17.0 to 5.23.0 that ours stand in for or wrap, and digests of their sources
that were read."""


@pytest.mark.parametrize("name", READ)
def test_the_method_is_the_one_that_was_read(name):
    digest = hashlib.sha256(inspect.getsource(getattr(GRPOTrainer, name)).encode()).hexdigest()[:12]
    assert digest in READ[name], f"GRPOTrainer.{name} changed: compare it with ours, then add its digest {digest} here"
