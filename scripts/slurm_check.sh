#!/usr/bin/env bash
# A sweep through Slurm, for real: a cluster of one node from Debian's packages, and four jobs on it.
#
#   sudo env PATH="$PATH" scripts/slurm_check.sh   # Debian or Ubuntu, as root; in the environment of
#                                                  # `pip install -e '.[submitit]'`
#
# Slurm keeps its files in a temporary folder and is stopped at the end; the packages stay installed.
# Exits with 0 if all four jobs ran in Slurm, completed, and gave the numbers of the same four jobs
# run one after the other; if the same command again then has nothing left to do; and if a job that
# Slurm asks to make room is queued again and goes on at the step where it was.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-$(command -v python || command -v python3)}
"$python" -c "import gan_runner, submitit" || {
  echo "slurm_check: $python lacks the project; pass your environment's PATH as above, or PYTHON=" >&2
  exit 2
}
export PYTHONPATH=$PWD${PYTHONPATH:+:$PYTHONPATH} OMP_NUM_THREADS=1

needed=(slurmctld slurmd munged srun)
if [ "$(command -v "${needed[@]}" | wc -l)" -lt "${#needed[@]}" ]; then
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
    slurmctld slurmd slurm-client munge >/dev/null
fi

work=$(mktemp -d)
chmod 755 "$work"
mkdir "$work/state" "$work/spool"
cores=$(nproc)
cat >"$work/slurm.conf" <<CONF
ClusterName=one
SlurmctldHost=$(hostname -s)(127.0.0.1)
SlurmUser=root
AuthType=auth/munge
AuthInfo=cred_expire=5
CredType=cred/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
StateSaveLocation=$work/state
SlurmdSpoolDir=$work/spool
SlurmctldPidFile=$work/slurmctld.pid
SlurmdPidFile=$work/slurmd.pid
SlurmctldLogFile=$work/slurmctld.log
SlurmdLogFile=$work/slurmd.log
MailProg=/bin/true
ReturnToService=2
NodeName=$(hostname -s) NodeAddr=127.0.0.1 CPUs=$cores State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
CONF
export SLURM_CONF=$work/slurm.conf

stop() {
  status=$?
  scancel --user=root 2>/dev/null || true
  for _ in {1..60}; do
    [[ -z $(squeue --noheader 2>/dev/null) ]] && break
    sleep 0.5
  done
  scontrol shutdown 2>/dev/null || true  # slurmctld and slurmd
  [[ -s $work/munged.pid ]] && kill "$(<"$work/munged.pid")" || true
  if ((status)); then
    echo "slurm_check: failed; what there is to read is in $work" >&2
  else
    sleep 2
    rm -rf "$work"
  fi
}
trap stop EXIT

if ! munge -n </dev/null >/dev/null 2>&1; then  # the credentials' daemon does not run yet
  install -d -o munge -g munge /run/munge
  install -d -o munge -g munge "$work/munge"
  runuser -u munge -- munged --pid-file="$work/munge/munged.pid" \
    --log-file="$work/munge/munged.log" --seed-file="$work/munge/munged.seed"
  ln -s "$work/munge/munged.pid" "$work/munged.pid"
fi
slurmctld -f "$SLURM_CONF"
slurmd -f "$SLURM_CONF"
for _ in {1..60}; do
  sinfo --noheader --format=%T 2>/dev/null | grep -qE 'idle' && break
  sleep 0.5
done
sinfo

toy=(
  dataset=gaussians8 model=mlp model.width=8 plots=none device=cpu trainer.precision=fp32
  trainer.batch_size=16 trainer.num_eval_samples=64 trainer.log_every=5
)
four=(trainer.steps=20 objective=gan,ns_gan seed=0,1)
slurm=(hydra/launcher=submitit_slurm hydra.launcher.timeout_min=60 hydra.launcher.cpus_per_task=1)
# submitit asks Slurm's accounting, which this small cluster has not, and says so each time
sweep() { "$python" -m gan_runner.train -m "${toy[@]}" "$@" 2>&1 | sed -u '/sacct/d; /accounting/d'; }

sweep "${slurm[@]}" "${four[@]}" hydra.sweep.dir="$work/slurm"
sweep "${four[@]}" hydra.sweep.dir="$work/plain" >/dev/null
sweep "${slurm[@]}" "${four[@]}" hydra.sweep.dir="$work/slurm" >"$work/again"
grep -q '4 jobs: 4 completed' "$work/again"
if grep 'steps in' "$work/again"; then
  echo "slurm_check: a job that was done ran again" >&2
  exit 1
fi

"$python" - "$work/slurm" "$work/plain" <<'PYTHON'
import json
import sys
from pathlib import Path


def numbers(job: Path) -> list[dict[str, float]]:
    points = [json.loads(line) for line in (job / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in point.items() if not k.startswith("speed/")} for point in points]


slurm, plain = ({n.parent.name: n.parent for n in Path(d).glob("*/job.json")} for d in sys.argv[1:])
assert len(slurm) == 4 and slurm.keys() == plain.keys(), (slurm, plain)
for name, job in slurm.items():
    assert numbers(job) == numbers(plain[name]), name
ran = sorted(path.name for path in (Path(sys.argv[1]) / ".submitit").glob("[0-9]*_[0-9]*"))
print(f"slurm_check: 4 jobs through Slurm, the same numbers; Slurm knew them as {', '.join(ran)}")
PYTHON

long=(trainer.steps=2000 seed=0 hydra.sweep.dir="$work/long")
sweep "${slurm[@]}" "${long[@]}" &
sweeping=$!
for _ in {1..600}; do
  (($(cat "$work"/long/*/metrics.jsonl 2>/dev/null | wc -l) >= 10)) && break
  sleep 0.1
done
scancel --signal=USR2 "$(squeue --noheader --format=%A | head -n 1)"
wait "$sweeping"
grep -H 'from step' "$work"/long/*/output.txt  # fails if the job was not resumed
(($(wc -l <"$(echo "$work"/long/*/metrics.jsonl)") == 400))
echo "slurm_check: a job that had to make room went on where it was"
