"""Keys and values of earlier tokens, in memory with room to spare."""

import torch
from torch import Tensor
from transformers.cache_utils import DynamicLayer

ROOM = 32
"""Tokens for which a layer takes memory at least when it has none left."""


class RoomyLayer(DynamicLayer):
    """A `DynamicLayer` that writes new tokens into free room, where the original copies all earlier ones each time.

    `keys` and `values` are views of what is filled, (rows, heads, tokens, size), so all else of the class holds.
    """

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Take no memory yet; `update` does."""
        super().lazy_initialization(key_states, value_states)
        self._buffers: tuple[Tensor, Tensor] | None = None

    def update(self, key_states: Tensor, value_states: Tensor, *args, **kwargs) -> tuple[Tensor, Tensor]:
        """Add tokens; returns all keys and all values."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        filled = self.get_seq_length()
        length = filled + key_states.size(2)
        if self._buffers is None or self._buffers[0].size(2) < length:
            room = max(ROOM, length // 4)
            old_keys, old_values = self._filled() if filled else (key_states[:, :, :0], value_states[:, :, :0])
            self._buffers = (_with_room(old_keys, length + room), _with_room(old_values, length + room))
        keys, values = self._buffers
        keys[:, :, filled:length] = key_states
        values[:, :, filled:length] = value_states
        self.keys, self.values = keys[:, :, :length], values[:, :, :length]
        return self.keys, self.values

    def batch_select_indices(self, indices: Tensor) -> None:
        """Rows `indices`, in that order and as often as they are named there."""
        if self._buffers is None:
            return
        length, size = self.get_seq_length(), self._buffers[0].size(2)
        old_keys, old_values = self._filled()
        self._buffers = (_with_room(old_keys, size, indices), _with_room(old_values, size, indices))
        self.keys, self.values = (buffer[:, :, :length] for buffer in self._buffers)

    def _filled(self) -> tuple[Tensor, Tensor]:
        assert self.keys is not None
        assert self.values is not None
        return self.keys, self.values


def _with_room(states: Tensor, size: int, rows: Tensor | None = None) -> Tensor:
    """A buffer of `size` tokens that starts with `states`, or with some rows of it."""
    count = len(states) if rows is None else len(rows)
    buffer = states.new_empty(count, states.size(1), size, states.size(3))
    buffer[:, :, : states.size(2)] = states if rows is None else torch.index_select(states, 0, rows)
    return buffer
