"""The end of a run on several processes."""

import gc

from torch import distributed


def leave_process_group() -> None:
    """End this process's part in the group, and its threads. Without a group nothing happens.

    A thread of gloo that still holds a Python object while the interpreter exits aborts the process. The threads end
    with the last reference to their group, which trainers hold in reference cycles: let go of the trainer first.
    """
    if distributed.is_initialized():
        distributed.destroy_process_group()
        gc.collect()
