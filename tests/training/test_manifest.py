import json

from abcgrpo.files import without_secrets
from abcgrpo.training.manifest import environment, settings
from abcgrpo.trl import ABCGRPOConfig


def test_every_argument_is_there_and_no_secret(tmp_path):
    arguments = ABCGRPOConfig(
        str(tmp_path),
        hub_token="hf_123",
        model_init_kwargs={"token": "hf_456", "dtype": "float32"},
        use_cpu=True,
        bf16=False,
    )
    found = settings(arguments)
    text = json.dumps(found, allow_nan=False)
    assert "hf_" not in text
    assert found["hub_token"] == "<not kept>"
    assert found["model_init_kwargs"] == {"token": "<not kept>", "dtype": "float32"}
    # Defaults of the host and of ours, none of which was given.
    assert (found["seed"], found["adam_beta2"], found["num_generations"], found["eps_pos_low"]) == (42, 0.999, 8, 0.2)


def test_secrets_go_and_tokens_stay():
    given = {"HUB_TOKEN": "x", "nested": [{"api_key": "y"}], "num_input_tokens_seen": 3, "hub_token": None}
    kept = {
        "HUB_TOKEN": "<not kept>",
        "nested": [{"api_key": "<not kept>"}],
        "num_input_tokens_seen": 3,
        "hub_token": None,
    }
    assert without_secrets(given) == kept


def test_the_machine(monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", "do not keep me")
    found = environment()
    assert {"torch", "trl", "transformers"} <= set(found["packages"])
    assert found["cpu"]
    assert found["memory_gib"] > 0
    assert found["threads"] >= 1
    assert "do not keep me" not in json.dumps(found)
