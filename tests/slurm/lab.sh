#!/usr/bin/env bash
# A real Slurm of two nodes with fake GPUs on one machine, for tests: no systemd, no cgroups.
#
#   lab.sh install     Slurm from Debian packages, where it is missing; fails where it cannot be had, and where
#                      the machine has a Slurm of its own
#   lab.sh start       install what is missing (Debian packages), write the configuration, start
#   lab.sh stop        end every daemon that was started here, remove the configuration
#   lab.sh away        end slurmctld, as when its machine is down;  lab.sh back  starts it again
#
# Environment: LAB (state, default /tmp/spd-slurm-lab), NODES (2), CPUS (64), MEM_MB (256000) and GPUS (4) of
# each node, as the scheduler counts them: more than the machine has. ACCOUNTING=yes adds slurmdbd over MariaDB.
# PORT (16817): the first of the ports.
set -euo pipefail
LAB=${LAB:-${TMPDIR:-/tmp}/spd-slurm-lab}
NODES=${NODES:-2} CPUS=${CPUS:-64} MEM_MB=${MEM_MB:-256000} GPUS=${GPUS:-4} PORT=${PORT:-16817} ACCOUNTING=${ACCOUNTING:-no}
MARK="# written by tests/slurm/lab.sh"
# The default place: Snakemake's job step removes every SLURM_* variable, SLURM_CONF too, before it calls srun.
CONF=/etc/slurm
HOST=$(hostname -s)
unset SLURM_CONF

ours() { [ -f "$1" ] && head -1 "$1" | grep -qF "$MARK"; }

daemons() { # process ids of the daemons started here that still run
  local file pid
  for file in "$LAB"/run/*.pid; do
    pid=$(cat "$file" 2>/dev/null) || continue
    if [ -n "$pid" ] && kill -0 "$pid" 2>/dev/null; then echo "$pid"; fi
  done
}

stop() {
  [ -d "$LAB" ] || return 0
  if ours "$CONF/slurm.conf"; then scancel --quiet --user="$(id -un)" 2>/dev/null || true; fi
  for _ in $(seq 20); do
    [ -z "$(squeue --noheader 2>/dev/null)" ] && break
    sleep 0.5
  done
  local running
  running=$(daemons)
  if [ -n "$running" ]; then kill $running 2>/dev/null || true; fi
  for _ in $(seq 100); do
    [ -z "$(daemons)" ] && break
    sleep 0.1
  done
  running=$(daemons)
  if [ -n "$running" ]; then kill -9 $running 2>/dev/null || true; fi
  rm -rf "$LAB"
  local file
  for file in slurm.conf gres.conf slurmdbd.conf; do
    if ours "$CONF/$file"; then rm -f "$CONF/$file"; fi
  done
}

install_packages() {
  local packages=()
  if ! { command -v slurmctld && command -v slurmd && command -v munged; } >/dev/null; then
    packages+=(slurmctld slurmd slurm-client munge)
  fi
  if [ "$ACCOUNTING" = yes ] && ! { command -v slurmdbd && command -v mariadbd; } >/dev/null; then
    packages+=(slurmdbd mariadb-server)
  fi
  [ ${#packages[@]} = 0 ] && return
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq >/dev/null
  apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null
}

write_configuration() {
  local accounting="AccountingStorageType=accounting_storage/none" i g
  if [ "$ACCOUNTING" = yes ]; then
    accounting="AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort=$((PORT + 1))
AccountingStoragePass=$LAB/munge-run/munge.sock
AccountingStorageTRES=gres/gpu"
  fi
  {
    echo "$MARK"
    cat <<C
ClusterName=lab
SlurmctldHost=$HOST(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
# cred_expire: a job that was put back into the queue starts again after this, by default after two minutes.
AuthInfo=socket=$LAB/munge-run/munge.sock,cred_expire=5
SlurmctldPort=$PORT
StateSaveLocation=$LAB/state
SlurmdSpoolDir=$LAB/spool/%n
SlurmctldPidFile=$LAB/run/slurmctld.pid
SlurmdPidFile=$LAB/run/slurmd-%n.pid
SlurmctldLogFile=$LAB/log/slurmctld.log
SlurmdLogFile=$LAB/log/slurmd-%n.log
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=1
# Memory is watched, not fenced: without cgroups this is what ends a job that takes more than it asked for.
JobAcctGatherParams=OverMemoryKill
$accounting
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=2,bf_interval=5
ReturnToService=2
SlurmdParameters=config_overrides
MinJobAge=3600
KillWait=30
InactiveLimit=0
SlurmctldTimeout=120
SlurmdTimeout=300
MaxJobCount=20000
JobRequeue=1
GresTypes=gpu
PropagateResourceLimits=NONE
# high preempts low, as on a cluster with a scavenger partition.
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
C
    for i in $(seq "$NODES"); do
      echo "NodeName=node$i NodeHostname=$HOST NodeAddr=127.0.0.1 Port=$((PORT + 10 + i)) CPUs=$CPUS RealMemory=$MEM_MB Gres=gpu:a100:$GPUS State=UNKNOWN"
    done
    echo "PartitionName=cpu Nodes=ALL Default=YES MaxTime=2-0 State=UP PriorityTier=1"
    echo "PartitionName=gpu Nodes=ALL MaxTime=1-0 State=UP PriorityTier=1"
    echo "PartitionName=urgent Nodes=ALL MaxTime=1-0 State=UP PriorityTier=10"
  } >"$CONF/slurm.conf"
  # Device files that exist everywhere: Slurm counts them and sets CUDA_VISIBLE_DEVICES for each job.
  local devices=(/dev/null /dev/zero /dev/full /dev/random /dev/urandom /dev/tty /dev/ptmx /dev/kmsg)
  {
    echo "$MARK"
    for i in $(seq "$NODES"); do
      for g in $(seq 0 $((GPUS - 1))); do
        echo "NodeName=node$i Name=gpu Type=a100 File=${devices[$g]}"
      done
    done
  } >"$CONF/gres.conf"
}

start_accounting() {
  mkdir -p "$LAB"/mysql "$LAB/mysql-run"
  chown -R mysql "$LAB/mysql" "$LAB/mysql-run"
  mariadb-install-db --user=mysql --datadir="$LAB/mysql" --skip-test-db >"$LAB/log/install-db.log" 2>&1 || {
    tail -n 5 "$LAB/log/install-db.log" >&2
    exit 1
  }
  mariadbd --user=mysql --datadir="$LAB/mysql" --skip-networking --socket="$LAB/mysql-run/sock" \
    --pid-file="$LAB/mysql-run/mysqld.pid" --innodb-buffer-pool-size=64M >"$LAB/log/mysql.log" 2>&1 &
  echo $! >"$LAB/run/mariadbd.pid"
  for _ in $(seq 100); do
    mariadb --socket="$LAB/mysql-run/sock" -e 'SELECT 1' >/dev/null 2>&1 && break
    sleep 0.2
  done
  mariadb --socket="$LAB/mysql-run/sock" -e "CREATE DATABASE slurm; CREATE USER slurm@localhost IDENTIFIED BY 'lab';
    GRANT ALL ON slurm.* TO slurm@localhost;"
  {
    echo "$MARK"
    cat <<C
AuthType=auth/munge
AuthInfo=socket=$LAB/munge-run/munge.sock
DbdHost=localhost
DbdPort=$((PORT + 1))
SlurmUser=root
LogFile=$LAB/log/slurmdbd.log
PidFile=$LAB/run/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageUser=slurm
StoragePass=lab
StorageLoc=slurm
C
  } >"$CONF/slurmdbd.conf"
  chmod 600 "$CONF/slurmdbd.conf"
  MYSQL_UNIX_PORT="$LAB/mysql-run/sock" slurmdbd
  for _ in $(seq 100); do
    sacctmgr --noheader list cluster >/dev/null 2>&1 && break
    sleep 0.2
  done
  sacctmgr --immediate add cluster lab >/dev/null 2>&1 || true
  sacctmgr --immediate add account lab Description=lab >/dev/null
  sacctmgr --immediate add user "$(id -un)" account=lab >/dev/null
}

refuse_beside_another() {
  if [ -f "$CONF/slurm.conf" ] && ! ours "$CONF/slurm.conf"; then
    echo "$CONF/slurm.conf exists and was not written here: this machine has a Slurm of its own" >&2
    exit 1
  fi
}

stop_left_over() { # of a run that was killed, whatever its LAB was
  local old
  ours "$CONF/slurm.conf" || return 0
  old=$(sed -n 's|^StateSaveLocation=\(.*\)/state$|\1|p' "$CONF/slurm.conf")
  LAB=$old "$0" stop
}

start() {
  refuse_beside_another
  stop_left_over
  stop
  install_packages
  mkdir -p "$CONF" "$LAB"/{run,log,state,spool,munge,munge-run}
  chmod 755 "$LAB" "$LAB/munge-run"
  head -c 1024 /dev/urandom >"$LAB/munge/munge.key"
  chmod 700 "$LAB/munge" && chmod 400 "$LAB/munge/munge.key"
  munged --force --key-file="$LAB/munge/munge.key" --socket="$LAB/munge-run/munge.sock" \
    --pid-file="$LAB/run/munged.pid" --log-file="$LAB/munge/munged.log" --seed-file="$LAB/munge/seed"
  write_configuration
  if [ "$ACCOUNTING" = yes ]; then start_accounting; fi
  slurmctld -f "$CONF/slurm.conf"
  local i up=0
  for i in $(seq "$NODES"); do slurmd -f "$CONF/slurm.conf" -N "node$i"; done
  for _ in $(seq 150); do
    up=$(sinfo --noheader --Node --partition=cpu --format='%T' 2>/dev/null | grep -c '^idle$' || true)
    [ "$up" = "$NODES" ] && break
    sleep 0.2
  done
  if [ "$up" != "$NODES" ]; then
    echo "the nodes did not come up:" >&2
    tail -n 20 "$LAB"/log/*.log >&2
    stop
    exit 1
  fi
  echo "Slurm is up: $NODES nodes, each $CPUS CPUs, $MEM_MB MB and $GPUS GPUs by its own count"
}

case ${1:-} in
  start) start ;;
  install)
    refuse_beside_another
    install_packages
    ;;
  stop) stop ;;
  away) kill "$(cat "$LAB/run/slurmctld.pid")" ;;
  back) slurmctld -f "$CONF/slurm.conf" ;;
  *) sed -n '2,13s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac
