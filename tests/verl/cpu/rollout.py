"""A rollout server on plain transformers, in the place of vLLM's: a Ray actor that samples requests in batches."""

import asyncio
import os
from typing import Any, NamedTuple

import ray
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from verl.workers.rollout.base import BaseRollout
from verl.workers.rollout.replica import RolloutReplica, TokenOutput

REQUESTS_TOGETHER = 256
WAIT_FOR_MORE = 0.02  # seconds


class Request(NamedTuple):
    """A prompt that waits for its answer."""

    prompt_ids: list[int]
    sampling: dict[str, Any]
    answer: asyncio.Future


class TransformersServer:
    """Answers `generate` like verl's servers do, with the weights of the last `load`."""

    def __init__(self, path: str, response_length: int, seed: int) -> None:
        torch.set_num_threads(1)
        torch.manual_seed(seed)
        self.model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32).eval()
        self.tokenizer = AutoTokenizer.from_pretrained(path)
        self.response_length = response_length
        self.global_steps: int | None = None
        self.waiting: list[Request] = []
        self.batches: asyncio.Task | None = None

    async def load(self, weights: dict[str, torch.Tensor], global_steps: int | None) -> None:
        """Take the trainer's weights; a name that does not fit is an error."""
        self.model.load_state_dict(weights, strict=True)
        self.global_steps = global_steps

    async def generate(self, request_id: str, *, prompt_ids, sampling_params, image_data=None, video_data=None):
        """The answer to one prompt; waits for the batch that it becomes part of."""
        assert image_data is None
        assert video_data is None
        request = Request(list(prompt_ids), dict(sampling_params), asyncio.get_running_loop().create_future())
        self.waiting.append(request)
        if self.batches is None:
            self.batches = asyncio.create_task(self.answer_all())
        return await request.answer

    async def answer_all(self) -> None:
        """Answer in batches until nothing waits."""
        try:
            while self.waiting:
                await asyncio.sleep(WAIT_FOR_MORE)
                temperature = self.waiting[0].sampling.get("temperature", 1.0)
                batch = [each for each in self.waiting if each.sampling.get("temperature", 1.0) == temperature]
                batch = batch[:REQUESTS_TOGETHER]
                self.waiting = [each for each in self.waiting if not any(each is taken for taken in batch)]
                try:
                    outputs = self.sample([each.prompt_ids for each in batch], temperature)
                except Exception as error:
                    for each in batch:
                        each.answer.set_exception(error)
                    continue
                for each, output in zip(batch, outputs, strict=True):
                    each.answer.set_result(output)
        finally:
            self.batches = None

    @torch.inference_mode()
    def sample(self, prompts: list[list[int]], temperature: float) -> list[TokenOutput]:
        """One answer to each prompt, from the whole distribution at that temperature; 0 takes the likeliest token."""
        inputs = self.tokenizer.pad({"input_ids": prompts}, padding_side="left", return_tensors="pt")
        choice = {"do_sample": True, "temperature": temperature, "top_k": 0, "top_p": 1.0}
        generated = self.model.generate(
            **inputs,
            **(choice if temperature > 0 else {"do_sample": False}),
            max_new_tokens=self.response_length,
            return_dict_in_generate=True,
            output_logits=True,
        )
        tokens = generated.sequences[:, inputs["input_ids"].shape[1] :]
        logits = torch.stack(generated.logits, dim=1) / (temperature or 1.0)
        log_probs = logits.log_softmax(-1).gather(-1, tokens[..., None]).squeeze(-1)
        ended = tokens == self.tokenizer.eos_token_id
        lengths = torch.where(ended.any(1), ended.int().argmax(1) + 1, tokens.shape[1]).tolist()
        return [
            TokenOutput(
                token_ids=tokens[row, :length].tolist(),
                log_probs=log_probs[row, :length].tolist(),
                stop_reason="completed",
                extra_fields={"global_steps": self.global_steps},
            )
            for row, length in enumerate(lengths)
        ]

    # Nothing shares memory with this server, so nothing has to be freed or brought back around an update.
    async def wake_up(self, tags=None) -> None: ...

    async def sleep(self, **_) -> None: ...

    async def clear_kv_cache(self) -> None: ...

    async def release_kv_cache(self) -> None: ...

    async def resume_kv_cache(self) -> None: ...

    async def abort_all_requests(self, reject_request: bool = False) -> dict[str, Any]:
        return {"aborted_count": 0, "request_ids": []}

    async def resume_generation(self) -> None: ...


class TransformersReplica(RolloutReplica):
    """Starts the server."""

    async def launch_servers(self) -> None:
        name = server_name(self.replica_rank)
        server = ray.remote(TransformersServer).options(name=name, num_cpus=0.1, max_concurrency=1024)
        handle = server.remote(
            self.model_config.path, self.config.response_length, self.config.seed + self.replica_rank
        )
        self.servers = [handle]
        self._server_handle, self._server_address = handle, name


class WeightSync(BaseRollout):
    """Lives in the actor's process, and hands the server its weights after every update."""

    def __init__(self, config, model_config, device_mesh, replica_rank: int = -1) -> None:
        super().__init__(config, model_config, device_mesh)
        self.replica_rank = int(os.environ["RANK"]) if replica_rank == -1 else replica_rank

    async def resume(self, tags) -> None: ...

    async def release(self) -> None: ...

    async def update_weights(self, weights, wire_format="named_tensors", global_steps=None, **_) -> None:
        assert wire_format == "named_tensors", wire_format
        whole = {name: tensor.detach().float().clone() for name, tensor in weights}
        await ray.get_actor(server_name(self.replica_rank)).load.remote(whole, global_steps)


def server_name(replica_rank: int) -> str:
    return f"transformers_server_{replica_rank}"
