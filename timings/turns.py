"""Two trainers in one process, in turns at every optimizer step: what else the machine does slows both alike."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from transformers import TrainerCallback


class Turns:
    """Lets one of two threads run at a time. The first one begins; a thread that has ended must hand over, too."""

    def __init__(self):
        self._mine = (threading.Semaphore(1), threading.Semaphore(0))

    def wait(self, player: int) -> None:
        self._mine[player].acquire()

    def hand_over(self, player: int) -> None:
        self._mine[1 - player].release()


class StepClock(TrainerCallback):
    """CPU and wall time of a trainer's optimizer steps, in seconds; gradients on demand."""

    def __init__(self, turns: Turns, player: int, keep_gradients: bool):
        self.cpu = self.wall = 0.0
        self.gradients: list[dict[str, torch.Tensor]] = []
        self._turns, self._player, self._keep = turns, player, keep_gradients

    def on_step_begin(self, _args, state, *_rest, **_kwargs):
        self._turns.hand_over(self._player)
        self._turns.wait(self._player)
        torch.manual_seed(state.global_step)  # both trainers shuffle their rollout from here
        self._start = now()

    def on_pre_optimizer_step(self, *_args, model, **_kwargs):
        if self._keep:
            self.gradients.append({n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None})

    def on_step_end(self, *_args, **_kwargs):
        cpu, wall = now()
        self.cpu, self.wall = self.cpu + cpu - self._start[0], self.wall + wall - self._start[1]


def train_in_turns(trainers: list[Any], keep_gradients: bool = False) -> list[StepClock]:
    """Train both to their ends."""
    turns = Turns()
    clocks = [StepClock(turns, player, keep_gradients) for player in range(2)]

    def train(player: int) -> None:
        turns.wait(player)
        try:
            trainers[player].add_callback(clocks[player])
            trainers[player].train()
        finally:
            turns.hand_over(player)

    with ThreadPoolExecutor(2) as pool:
        for running in [pool.submit(train, player) for player in range(2)]:
            running.result()
    return clocks


def now() -> tuple[float, float]:
    """CPU and wall time, in seconds."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.process_time(), time.perf_counter()
