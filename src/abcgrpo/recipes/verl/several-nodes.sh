#!/usr/bin/env bash
# Trains a recipe of this folder on several machines. Run it on every one of them, from the same directory of a file
# system that they share (recipes, data and checkpoints are there), in the environment of constraints-verl.txt:
#
#   NODES=4 NODE_RANK=0 HEAD=10.0.0.1 recipes/verl/several-nodes.sh qwen3-4b-base [OVERRIDE...]     # on the first
#   NODES=4 NODE_RANK=1 HEAD=10.0.0.1 recipes/verl/several-nodes.sh qwen3-4b-base                   # on the second, ...
#
# With Slurm:
#   HEAD=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -1) srun --ntasks-per-node=1 \
#     recipes/verl/several-nodes.sh qwen3-4b-base
#
# Not run on several machines: none were at hand. tests/verl/test_recipes.py checks what it calls.
set -euo pipefail

recipe=${1:?the name of a recipe, such as qwen3-4b-base}
shift
nodes=${NODES:-${SLURM_NNODES:?NODES is not set}}
rank=${NODE_RANK:-${SLURM_NODEID:?NODE_RANK is not set}}
: "${HEAD:?HEAD is not set: the address of the first machine}"
port=${RAY_PORT:-6379}
gpus=${GPUS_PER_NODE:-8}

# Ray's workers inherit this: each imports the loss when it imports verl, and does not start without it.
export VERL_USE_EXTERNAL_MODULES=abcgrpo.verl
abcgrpo doctor --engine verl

if [ "$rank" != 0 ]; then
  until ray health-check --address "$HEAD:$port" > /dev/null 2>&1; do sleep 5; done
  exec ray start --block --address "$HEAD:$port" --num-gpus "$gpus"  # until the first machine's Ray stops
fi

ray start --head --node-ip-address "$HEAD" --port "$port" --num-gpus "$gpus"
trap 'ray stop' EXIT
export RAY_ADDRESS="$HEAD:$port"
python - "$nodes" << 'WAIT'
import sys, time, ray

ray.init(log_to_driver=False)
while (alive := sum(node["Alive"] for node in ray.nodes())) < int(sys.argv[1]):
    print(f"{alive} of {sys.argv[1]} machines are there", flush=True)
    time.sleep(5)
WAIT
python -m verl.trainer.main_ppo --config-dir recipes/verl --config-name "$recipe" \
  trainer.nnodes="$nodes" trainer.n_gpus_per_node="$gpus" "$@"
