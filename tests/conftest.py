"""How the tests run: one thread, no network, and no limit on the time of an example.

One thread: the tests' tensors are small, and threads that contend for a core are slower than one. No limit: where an
example is slow because the machine is busy, that says nothing of the code.
"""

import os
from contextlib import suppress

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

with suppress(ImportError):  # the environments of engines have no Hypothesis
    from hypothesis import HealthCheck, settings

    settings.register_profile(
        "any load", settings.get_profile(settings.get_current_profile_name()), deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
    )  # fmt: skip
    settings.load_profile("any load")
