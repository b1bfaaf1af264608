#!/usr/bin/env bash
# Cancels the Slurm jobs that Snakemake has submitted from this folder and waits until they have ended.
# Trainings save first, and go on from there in the next run. Run it when the controlling Snakemake was killed.
set -euo pipefail
folder=$(pwd -P)
jobs() {
  squeue --user="$(id -un)" --noheader --format='%i|%j|%Z' |
    awk -F'|' -v folder="$folder" '$2 ~ /^spd_/ && $3 == folder { print $1 }'
}
found=$(jobs)
if [ -z "$found" ]; then
  echo "no job of this folder is in the queue"
  exit
fi
echo "cancelling" $found
scancel $found
while [ -n "$(jobs)" ]; do sleep 2; done
echo "all have ended; next: snakemake --unlock, then the command of the run"
