#!/usr/bin/env bash
# One whole preset through the profile on lab.sh's cluster, from a fresh clone, and what it did as Markdown.
#
#   by_hand.sh [preset] [more arguments of Snakemake]      preset: demo (default), tiny
set -euo pipefail
preset=${1:-demo}
shift || true
here=$(cd "$(dirname "$0")" && pwd -P)
folder=$(mktemp -d)
chmod 755 "$folder" # MariaDB's own user starts in it (ACCOUNTING=yes)
export LAB="$folder/lab" GPUS=${GPUS:-2} CPUS=${CPUS:-16} MEM_MB=${MEM_MB:-32000} OMP_NUM_THREADS=1
finish() {
  "$here/lab.sh" stop
  rm -rf "$folder"
}
trap finish EXIT
git clone -q "$here/../.." "$folder/spd"
cd "$folder/spd"
export PYTHONPATH="$PWD"
# The marked block alone: this machine's CPUs and memory.
sed -i '/your site/,/^# ------/ {s/cpus_per_task: [0-9]*/cpus_per_task: 1/; s/mem_mb: attempt \* [0-9]*/mem_mb: attempt * 2000/}' slurm/config.yaml
printf 'compute: {gpus: 1, device: cpu}\n' >mine.yaml
"$here/lab.sh" start >&2
began=$(date +%s)
status=0
snakemake --cores all --profile slurm --configfile mine.yaml --config "preset=$preset" \
  --slurm-init-seconds-before-status-checks 5 "$@" >run.log 2>&1 || status=$?
echo "Status $status after $((($(date +%s) - began) / 60)) minutes, commit $(git rev-parse --short HEAD)."
echo
echo "| jobs | of rule |"
echo "|---:|---|"
awk '/^job  *count/ { on = 1; next } on && /^total/ { exit } on && NF == 2 && $1 !~ /^-/ { print "| " $2 " | " $1 " |" }' run.log
echo
echo "| | |"
echo "|---|---:|"
echo "| submissions of one job or group | $(grep -c 'has been submitted with SLURM jobid' run.log) |"
echo "| submissions of an array | $(grep -c 'Submitted array job' run.log) |"
echo "| jobs tried again | $(grep -c 'Trying to restart' run.log) |"
[ $status = 0 ] || tail -n 30 run.log >&2
exit $status
