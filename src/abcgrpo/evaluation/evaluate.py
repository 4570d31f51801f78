"""A model, a benchmark, a directory of graded samples."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from abcgrpo.evaluation.adapters import base_of, is_adapter, resolve_measured, settings_of
from abcgrpo.evaluation.grades import grade_again, graded, notes_of, prompt_hash
from abcgrpo.evaluation.growth import blocks, grow
from abcgrpo.evaluation.options import EvaluationOptions
from abcgrpo.evaluation.samplers import BATCH_SIZES, INDEPENDENT, Sampler, open_sampler
from abcgrpo.evaluation.sampling import Request, Sample, Sampling, request_batches
from abcgrpo.evaluation.store import Evaluation, SampleStore, read_evaluation
from abcgrpo.files import locked
from abcgrpo.progress import Progress, quiet_libraries
from abcgrpo.run_files import ADAPTER_CONFIG
from abcgrpo.tasks import Row, Task, with_prompts
from abcgrpo.tasks.benchmarks import Benchmark
from abcgrpo.tasks.prompts import PromptTemplate, problem_text
from abcgrpo.tasks.sources import CLUSTER


def evaluate(
    model: str,
    benchmark: Benchmark,
    options: EvaluationOptions,
    directory: Path,
    opened: Callable[..., Sampler] = open_sampler,
    template: PromptTemplate | None = None,
) -> Evaluation:
    """Draw and grade the answers that `directory` does not hold yet, and return the evaluation.

    A killed evaluation resumes where it stopped, with the samples that an undisturbed one would have drawn. Where a
    sampler fails in the middle of a batch, what it drew until then is kept, if the sampler is one of `INDEPENDENT`. An
    evaluation that differs in having fewer questions or samples grows: see `abcgrpo.evaluation.growth`. Answers that
    another grade was given for are graded again, and not drawn again: see `abcgrpo.evaluation.grades`.

    Args:
        model: a directory or hub id; for a server, what it calls the model.
        benchmark: the problems.
        options: how they are answered; `questions` concerns whoever loads the benchmark. A server's URL and the batch
            size are part of what samples are known by; `concurrency`, `retries` and `timeout` are not.
        directory: where the samples are kept.
        opened: what gives the sampler, called only if samples are missing; a `LastSampler` for several benchmarks.
        template: the prompt; None for the task's.

    Raises:
        UserError: a model that cannot be loaded, or a directory with samples of other settings.
    """
    template = template or benchmark.task.template
    sampling = sampling_of(benchmark.task, options)
    path = model if options.sampler == "server" else resolve_measured(model)
    batch_size = options.batch_size or BATCH_SIZES[options.sampler]
    settings = {
        "model": model,
        "model_fingerprint": model if options.sampler == "server" else fingerprint(path),
        "sampler": options.sampler,
        "benchmark": benchmark.name,
        "questions": len(benchmark.rows),
        "questions_sha256": benchmark.sha256,
        "samples": options.samples,
        "batch_size": batch_size,
        "prompt_template": template.to_dict(),
        "sampling": sampling.to_dict(),
    }
    if options.server is not None:
        settings["url"] = options.server
    asked = with_prompts(benchmark.rows, template)
    prompts = [row["prompt"] for row in asked]
    directory.mkdir(parents=True, exist_ok=True)
    with locked(directory, f"Another process is adding samples to {directory}."):
        grade_again(directory, settings, benchmark, asked)
        stages = grow(directory, settings, benchmark.graded)
        store = SampleStore(directory, settings, notes_of(benchmark))
        batches = request_batches(
            [problem_text(row["problem"]) for row in asked],
            blocks(len(asked), options.samples, stages),
            batch_size,
            sampling.seed,
        )
        keys = [[(benchmark.ids[request.question], request.sample) for request in batch] for batch in batches]
        kept = store.kept(keys, whole=options.sampler not in INDEPENDENT)
        if len(kept) < sum(map(len, batches)):
            quiet_libraries()
            sampler = opened(options.sampler, path, sampling, **options.connection)
            if dtype := getattr(sampler, "dtype", None):
                store.note("dtype", dtype)
            with Progress(f"{Path(model).name} on {benchmark.name}", len(batches)) as progress:
                for number, batch in enumerate(batches):
                    missing = [each for each, key in zip(batch, keys[number], strict=True) if key not in kept]
                    drawn: dict[int, Sample] = {}
                    try:
                        if missing:
                            wanted = [prompts[request.question] for request in missing]
                            answers = sampler.sample(wanted, [request.seed for request in missing], drawn)
                            drawn.update(enumerate(answers))
                    finally:  # what an interruption or a failing server left is graded and kept
                        if drawn:
                            store.append(_lines(benchmark, asked, [(missing[at], drawn[at]) for at in sorted(drawn)]))
                    progress.advance_to(number + 1)
    return read_evaluation(directory)


def _lines(benchmark: Benchmark, asked: list[Row], answered: list[tuple[Request, Sample]]) -> list[dict[str, Any]]:
    """Graded answers, as `SampleStore` keeps them.

    Args:
        benchmark: the problems.
        asked: its rows with their prompts.
        answered: what was drawn.
    """
    rows = [asked[request.question] for request, _ in answered]
    verdicts = benchmark.task.grade([answer.text for _, answer in answered], rows)
    return [
        {
            "problem": benchmark.ids[request.question],
            "sample": request.sample,
            "seed": request.seed,
            "prompt_sha256": prompt_hash(row["prompt"]),
            **answer._asdict(),
            **graded(verdict),
            **({} if row.get(CLUSTER) is None else {"cluster": str(row[CLUSTER])}),
        }
        for (request, answer), row, verdict in zip(answered, rows, verdicts, strict=True)
    ]


def sampling_of(task: Task, options: EvaluationOptions) -> Sampling:
    """How answers to a task are drawn: as the task says, replaced by the options that are given.

    Raises:
        UserError: see `Sampling`.
    """
    defaults = asdict(task.sampling)
    if options.temperature == 0:
        defaults |= {"top_p": 1.0, "top_k": 0}
    return Sampling(**defaults | options.model_dump(include={*defaults}, exclude_none=True), seed=options.seed)


def fingerprint(model: str) -> str:
    """A hash of a model directory: names and sizes of its files, and the ends of each. A hub id is itself.

    That of an adapter has its base's in it, wherever the base is.
    """
    directory = Path(model)
    if not directory.is_dir():
        return model
    digest = hashlib.sha256()
    names = sorted(path for pattern in ("*.json", "*.jinja", "*.safetensors") for path in directory.glob(pattern))
    if is_adapter(directory):
        digest.update(json.dumps([settings_of(directory), fingerprint(base_of(directory))], sort_keys=True).encode())
        names.remove(directory / ADAPTER_CONFIG)
    for path in names:
        with path.open("rb") as file:
            head = file.read(1 << 20)
            size = file.seek(0, 2)
            file.seek(max(size - (1 << 20), 0))
            digest.update(f"{path.name}:{size}:".encode() + head + file.read())
    return digest.hexdigest()
