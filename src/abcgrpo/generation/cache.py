"""Keys and values of earlier tokens, in memory with room to spare."""

from torch import Tensor
from transformers.cache_utils import DynamicLayer

ROOM = 32
"""Tokens for which a layer takes memory at least when it has none left."""


class RoomyLayer(DynamicLayer):
    """A `DynamicLayer` that writes new tokens into free room, where the original copies all earlier ones each time.

    `keys` and `values` are views of what is filled, (rows, heads, tokens, size), so all else of the class holds.
    """

    def __init__(self, most: int) -> None:
        """Args: the number of rows that there may be."""
        super().__init__()
        self._most = most

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
            self._buffers = (self._with_room(old_keys, length + room), self._with_room(old_values, length + room))
        rows = len(key_states)
        for buffer, states in zip(self._buffers, (key_states, value_states), strict=True):
            buffer[:rows, :, filled:length] = states
        self.keys, self.values = (buffer[:rows, :, :length] for buffer in self._buffers)
        return self.keys, self.values

    def move(self, sources: Tensor, targets: Tensor, count: int) -> None:
        """Copy rows `sources` to `targets`, no row being both, and keep the first `count` rows."""
        assert self._buffers is not None
        length = self.get_seq_length()
        if len(sources):
            for buffer in self._buffers:
                buffer[targets, :, :length] = buffer[sources, :, :length]
        self.keys, self.values = (buffer[:count, :, :length] for buffer in self._buffers)

    def _filled(self) -> tuple[Tensor, Tensor]:
        assert self.keys is not None
        assert self.values is not None
        return self.keys, self.values

    def _with_room(self, states: Tensor, size: int) -> Tensor:
        """A buffer of all rows and `size` tokens that starts with `states`. Memory is taken when it is written to."""
        buffer = states.new_empty(self._most, states.size(1), size, states.size(3))
        buffer[: len(states), :, : states.size(2)] = states
        return buffer
