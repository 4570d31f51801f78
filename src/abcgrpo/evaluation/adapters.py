"""Checkpoints of adapters: which directory is one, of which base, and the model that both make together.

A checkpoint holds the adapter alone. Its `adapter_config.json`, which is PEFT's, names the base: a directory where it
was trained, or a hub id. A base that travels with this package is found wherever the package is installed.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from abcgrpo.errors import UserError
from abcgrpo.run_files import ADAPTER_CONFIG
from abcgrpo.tasks import BASES, resolve_model
from abcgrpo.tasks.sources import model_not_loaded

if TYPE_CHECKING:
    from transformers import PreTrainedModel

BASE_FIELD = "base_model_name_or_path"
WEIGHTS = "adapter_model.safetensors"


def is_adapter(model: str | Path) -> bool:
    """Whether a model is the directory of an adapter."""
    return (Path(model) / ADAPTER_CONFIG).is_file()


def resolve_measured(name: str) -> str:
    """A model's directory or hub id, where the model may be an adapter's directory.

    Raises:
        UserError: see `resolve_model`.
    """
    return name if is_adapter(name) else resolve_model(name)


def settings_of(adapter: str | Path) -> dict[str, Any]:
    """What PEFT wrote of an adapter, without the place of its base.

    Raises:
        UserError: the file cannot be read.
    """
    settings = _read(adapter)
    settings.pop(BASE_FIELD, None)
    return settings


def base_of(adapter: str | Path) -> str:
    """The directory or hub id of the base that an adapter belongs to.

    Raises:
        UserError: it names none, or a directory that is not here; the message says what to do.
    """
    recorded = _read(adapter).get(BASE_FIELD)
    if not recorded or not isinstance(recorded, str):
        raise UserError(f"{adapter} is an adapter that names no base. {_advice(adapter)}")
    if recorded in BASES or (Path(recorded) / "config.json").is_file():
        return resolve_model(recorded)
    for shipped in BASES.values():  # trained where this package is installed elsewhere: abcgrpo/tasks/<task>/base
        if Path(recorded).parts[-4:] == shipped.parts[-4:]:
            return str(shipped)
    try:
        return resolve_model(recorded)
    except UserError as error:
        raise UserError(
            f"{adapter} is an adapter of the base {recorded}, which is not here. Put the base there, or: "
            f"{_advice(adapter)}"
        ) from error


def load_with_adapter(adapter: str | Path) -> "PreTrainedModel":
    """The base with an adapter in its layers, on the CPU, in the numbers of the adapter's weights.

    Those are the numbers in which the trainer held the base; its own checkpoint may have fewer bits.

    Raises:
        UserError: PEFT is not installed, one of the two cannot be loaded, or the adapter does more than change weights.
    """
    return _loaded(adapter).get_base_model()


def tokenizer_place(model: str) -> str:
    """Where the tokenizer of a model is: beside an adapter, as the trainer leaves it, or with its base."""
    if is_adapter(model) and not (Path(model) / "tokenizer_config.json").is_file():
        return base_of(model)
    return model


@contextmanager
def whole_model(model: str) -> Iterator[str]:
    """A directory or hub id of the whole model, for engines that take no adapter: merged, and gone afterwards.

    Merging rounds the sum of a base's and an adapter's weights once, in the numbers of `load_with_adapter`.

    Raises:
        UserError: see `load_with_adapter`.
    """
    if not is_adapter(model):
        yield model
        return
    from transformers import AutoTokenizer

    merged = _loaded(model).merge_and_unload()
    if merged.get_output_embeddings().weight is not merged.get_input_embeddings().weight:
        merged.config.tie_word_embeddings = False  # a head that was trained is one of its own
    with TemporaryDirectory(prefix="abcgrpo-merged-") as directory:
        merged.save_pretrained(directory)
        AutoTokenizer.from_pretrained(tokenizer_place(model)).save_pretrained(directory)
        del merged
        yield directory


def _loaded(adapter: str | Path) -> Any:
    """A `PeftModel`; see `load_with_adapter`."""
    try:
        from peft import PeftModel
    except ImportError as error:
        raise UserError(f"{adapter} is an adapter, which PEFT loads: pip install 'abcgrpo[peft]'.") from error
    from safetensors import SafetensorError, safe_open
    from transformers import AutoModelForCausalLM

    base = base_of(adapter)
    try:
        with safe_open(Path(adapter) / WEIGHTS, "pt") as weights:
            dtype = weights.get_tensor(next(iter(weights.keys()))).dtype
    except (OSError, SafetensorError) as error:
        raise UserError(f"{adapter}: the adapter's weights ({WEIGHTS}) cannot be read: {error}") from error
    try:
        model = AutoModelForCausalLM.from_pretrained(base, dtype=dtype)
    except (OSError, ValueError) as error:
        reason = model_not_loaded(base, error)
        raise type(reason)(f"{adapter} is an adapter of the base {base}. {reason} Or: {_advice(adapter)}") from error
    try:
        loaded = PeftModel.from_pretrained(model, str(adapter))
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise UserError(f"{adapter} does not fit its base {base}: {str(error).splitlines()[0]}") from error
    settings = loaded.active_peft_config
    if settings.is_prompt_learning or getattr(settings, "alora_invocation_tokens", None):
        kind = getattr(settings.peft_type, "value", settings.peft_type)
        raise UserError(f"{adapter} is an adapter ({kind}) that does more than change weights, which is not supported.")
    return loaded


def _read(adapter: str | Path) -> dict[str, Any]:
    path = Path(adapter) / ADAPTER_CONFIG
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read: {error}") from error
    if not isinstance(found, dict):
        raise UserError(f"{path} is no description of an adapter.")
    return found


def _advice(adapter: str | Path) -> str:
    return f"Write where the base is, a directory or a hub id, into {BASE_FIELD} of {Path(adapter) / ADAPTER_CONFIG}."
