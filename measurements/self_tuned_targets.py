"""The targets of the rule `self_tuned`, read off runs of GRPO: which share of each quadrant lies beyond 0.2.

    python measurements/self_tuned_targets.py runs/credit-targets runs/another

`self_tuned` moves the threshold of a quadrant until it clips the share f* of the quadrant's tokens, each optimizer step
counting alike. Here f is the mean, over the optimizer steps in which the quadrant has tokens, of its clip events (at
0.2, `clip/q…`) ÷ its tokens (`quadrant/q…`): with these targets the rule clips in each quadrant as many tokens as
GRPO's training leaves beyond 0.2. Printed is the rule as an arm of an experiment has it. Log every step
(`logging_steps: 1`).
"""

import argparse
from collections.abc import Iterable, Mapping
from pathlib import Path
from statistics import fmean
from typing import Any

from abcgrpo.errors import UserError
from abcgrpo.files import read_json, read_json_lines
from abcgrpo.run_files import MANIFEST, METRICS

PARAMETERS = {
    "q1": "target_pos_high",
    "q2": "target_pos_low",
    "q4": "target_neg_high",
    "q3": "target_neg_low",
}


def targets(lines: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """f* of each quadrant, by the rule's parameters, from the lines of `metrics.jsonl`.

    Raises:
        UserError: a quadrant never had a token, or no clip event.
    """
    lines, found = list(lines), {}
    for quadrant, parameter in PARAMETERS.items():
        inside = [line for line in lines if line.get(f"quadrant/{quadrant}")]
        share = fmean(line[f"clip/{quadrant}"] / line[f"quadrant/{quadrant}"] for line in inside) if inside else 0.0
        if share == 0:
            raise UserError(f"No token of {quadrant} lies beyond 0.2 in any step: no target can be read off this run.")
        found[parameter] = share
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, help="directories of training runs with rule: grpo")
    runs = parser.parse_args().runs
    try:
        for run in runs:
            if read_json(run / MANIFEST).get("rule", {}).get("name") != "grpo":
                raise UserError(f"{run} is no run of GRPO: targets are chosen on GRPO alone.")
        found = [targets(read_json_lines(run / METRICS)) for run in runs]
    except UserError as error:
        parser.error(str(error))
    mean = {name: fmean(one[name] for one in found) for name in PARAMETERS.values()}
    for run, one in zip(runs, found, strict=True):
        print(f"# {run}: " + ", ".join(f"{name} {value:.4f}" for name, value in one.items()))
    print("rule: {name: self_tuned, " + ", ".join(f"{name}: {value:.2g}" for name, value in mean.items()) + "}")


if __name__ == "__main__":
    main()
