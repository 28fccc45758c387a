#!/usr/bin/env bash
# Check the project on a machine with a GPU and without a network, in at most nine minutes.
#
#   scripts/gpu_check.sh wheels outputs/wheels   # on a machine with a network: collect the wheels
#   scripts/gpu_check.sh [OUT]                   # on the GPU machine; OUT: outputs/gpu_check
#
# The GPU machine needs Python 3.12, torch, torchvision, torchmetrics, tensorboard, scikit-learn, scipy,
# matplotlib, tqdm, pytest, hypothesis, safetensors, jinja2 and filelock. The wheels bring the rest.
#
# OUT/gpu_check.json holds the machine and every step's status, exit code, seconds and result; it is
# rewritten after each step, so that a check that is killed leaves what it has. OUT/gpu_check.log holds
# all output. Exits with 0 if every step passed.
#
# Environment:
#   WHEELS            folder of wheels (outputs/wheels); if it does not exist, nothing is installed
#   DEVICE            cuda; cpu rehearses every step on a machine without a GPU, at tiny sizes and
#                     under five times the limits
#   BUDGET            seconds for everything (540; 2,700 on a cpu)
#   STEPS             names of the steps to run, separated by spaces (all)
#   GAN_RUNNER_DATA   folder with torchvision's CIFAR-10 or MNIST for the study; otherwise digits
#   PYTHON            the interpreter (python3)
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
python=${PYTHON:-python3}

# collect DEST: wheels for Linux, x86-64, Python 3.12
collect() {
  local dest=$1 core version
  mkdir -p "$dest"
  local download=(-m pip download -q --no-deps --only-binary=:all: --python-version 3.12 --implementation cp)
  for version in 2_28 2_27 2_24 2_17; do
    download+=(--platform "manylinux_${version}_x86_64")
  done
  download+=(--platform manylinux2014_x86_64 -d "$dest")
  "$python" "${download[@]}" "hydra-core>=1.3.8,<1.4" "omegaconf>=2.3,<2.4" \
    pydantic annotated-types typing-inspection typing-extensions pyyaml packaging tqdm
  # pydantic requires one exact version of its compiled core
  core=$(unzip -p "$dest"/pydantic-[0-9]*.whl '*/METADATA' |
    sed -n 's/^Requires-Dist: pydantic-core==\([0-9.]*\).*/\1/p')
  "$python" "${download[@]}" "pydantic-core==$core"
  # published as source only, pure Python
  "$python" -m pip wheel -q --no-deps -w "$dest" "antlr4-python3-runtime==4.9.3"
  ls -l "$dest"
}

if [ "${1:-}" = wheels ]; then
  collect "${2:?usage: gpu_check.sh wheels DEST}"
  exit
fi
out=$(realpath -m "${1:-$root/outputs/gpu_check}")
cd "$root"
exec "$python" scripts/gpu_check.py "$out"
