"""The trainer overrides or calls private methods of TRL. When one changes, somebody has to read it and look at ours."""

import hashlib
import inspect

import pytest
from trl import GRPOTrainer

READ = {
    "_compute_loss": "80295546bbdb",
    "_get_per_token_logps_and_entropies": "ea73c3909275",
    "create_model_card": "4f8a407fd9fd",
    "compute_loss": "a2d6ef8bd29c",
    "log": "1e7772819cc8",
}
"""Methods of trl 1.16.0 that ours stand in for or wrap, and a digest of the source that was read."""


@pytest.mark.parametrize("name", READ)
def test_the_method_is_the_one_that_was_read(name):
    digest = hashlib.sha256(inspect.getsource(getattr(GRPOTrainer, name)).encode()).hexdigest()[:12]
    assert digest == READ[name], (
        f"GRPOTrainer.{name} changed: compare it with ours, then write its digest {digest} here"
    )
