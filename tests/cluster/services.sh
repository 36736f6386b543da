#!/usr/bin/env bash
# A real SLURM cluster on one Debian machine, for the tests: slurmctld, slurmdbd with MariaDB, munge and four
# slurmd. Run as root.
#
#   services.sh install   packages and Apptainer (see install.sh); nothing to do when they are there
#   services.sh up        start what isn't running; returns once every node takes jobs
#   services.sh down      stop what `up` started (munged stays: another cluster may use it)
#   services.sh crash PROGRAM   kill -9 slurmctld or slurmdbd, for tests of what follows; `up` starts it again
#   services.sh status    sinfo and the daemons; exit code 0 when the cluster takes jobs
#
# A cluster that answers already and that `up` did not start is used as it is, and never stopped; it needs the
# partitions main, short and spot and the account lab. A start from nothing begins with an empty state: jobs and
# accounting of an earlier life are gone.
#
# CLUSTER_DIR (/var/tmp/neuroflow-cluster) holds state, logs and pid files, CLUSTER_PORT (16900) is the first port,
# CLUSTER_NODES (4) the number of nodes, CLUSTER_USER (nfuser) an ordinary user made for the tests. The
# configuration goes to /etc/slurm, where SLURM's commands look on their own; one that isn't ours is only
# replaced (and kept beside it) with CLUSTER_REPLACE_CONFIG=1.
set -euo pipefail

readonly HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
readonly CLUSTER_DIR=${CLUSTER_DIR:-/var/tmp/neuroflow-cluster}
readonly NODES=${CLUSTER_NODES:-4} PORT=${CLUSTER_PORT:-16900} TEST_USER=${CLUSTER_USER:-nfuser}
readonly CTLD_PORT=$((PORT + 1)) DBD_PORT=$((PORT + 2)) MARIADB_PORT=$((PORT + 3)) NODE_PORT=$((PORT + 10))
readonly CONFIG=/etc/slurm/slurm.conf SOCKET=$CLUSTER_DIR/mariadb/server.sock HOST=$(uname -n)
readonly LOCK=/run/lock/neuroflow-cluster.lock LOCK_SECONDS=900
readonly MARK="# Written by neuroflow's tests/cluster/services.sh for $CLUSTER_DIR"
# shellcheck source=tests/cluster/configuration.sh
source "$HERE/configuration.sh"

fail() { echo "services.sh: $*" >&2; exit 1; }

wait_for() { # SECONDS WHAT COMMAND...
    local end=$((SECONDS + $1)) what=$2
    shift 2
    until "$@" >/dev/null 2>&1; do
        ((SECONDS < end)) || fail "$what did not come up; see $CLUSTER_DIR/log"
        sleep 0.3
    done
}

# --- what runs ---------------------------------------------------------------------------------

nodes() { seq -f 'n%g' "$NODES"; }

# A pid file outlives a crash, and its number may have gone to another process: the name is compared too.
pid_of() { # PROGRAM PIDFILE
    local pid
    pid=$(tr -dc 0-9 2>/dev/null <"$2") && [[ -n $pid && $(cat "/proc/$pid/comm" 2>/dev/null) == "$1" ]] && echo "$pid"
}

daemons() { # one per line: PROGRAM PIDFILE, in the order in which they are stopped
    local node
    for node in $(nodes); do echo "slurmd $CLUSTER_DIR/run/slurmd.$node.pid"; done
    echo "slurmctld $CLUSTER_DIR/run/slurmctld.pid"
    echo "slurmdbd $CLUSTER_DIR/run/slurmdbd.pid"
    echo "mariadbd $CLUSTER_DIR/mariadb/server.pid"
}

configuration_is_ours() { [[ -e $CONFIG && $(head -n 1 "$CONFIG") == "$MARK" ]]; }

any_of_ours() {
    local program file
    while read -r program file; do
        pid_of "$program" "$file" >/dev/null && return
    done < <(daemons)
    return 1
}

answers() { [[ -e $CONFIG ]] && timeout 20 scontrol ping 2>/dev/null | grep -q ' is UP'; }

ready_nodes() { timeout 20 sinfo -h -N -p main -t idle,alloc,mix -o %N 2>/dev/null | sort -u | wc -l; }

all_ready() { (($(ready_nodes) == NODES)); }

some_ready() { (($(ready_nodes) > 0)); }

stop() { # PROGRAM PIDFILE: ask, wait, and only then insist
    local pid
    pid=$(pid_of "$1" "$2") || return 0
    kill "$pid"
    for _ in $(seq 100); do
        pid_of "$1" "$2" >/dev/null || return 0
        sleep 0.1
    done
    kill -KILL "$pid" 2>/dev/null || true
}

stop_daemons() {
    local program file
    while read -r program file; do stop "$program" "$file"; done < <(daemons)
}

# --- up ------------------------------------------------------------------------------------------

prepare_machine() {
    if [[ ! -e /dev/fuse ]]; then mknod /dev/fuse c 10 229 2>/dev/null || true; fi
    if [[ -e /dev/fuse ]]; then chmod 666 /dev/fuse; fi
    id "$TEST_USER" >/dev/null 2>&1 || useradd -m -s /bin/bash "$TEST_USER"
    grep -q "^$TEST_USER:" /etc/subuid || usermod --add-subuids 1000000-1065535 "$TEST_USER"
    grep -q "^$TEST_USER:" /etc/subgid || usermod --add-subgids 1000000-1065535 "$TEST_USER"
}

account_users() { # root and the tests' ordinary user may submit, on a cluster of ours or another
    local user
    for user in root "$TEST_USER"; do
        [[ -n $(sacctmgr -n list associations user="$user" account=lab format=user) ]] \
            || sacctmgr -i add user "$user" account=lab >/dev/null \
            || fail "user $user can't be given the account lab; see sacctmgr list associations"
    done
}

take_configuration() {
    if [[ -e $CONFIG ]] && ! configuration_is_ours; then
        [[ ${CLUSTER_REPLACE_CONFIG:-} == 1 ]] || fail "$CONFIG belongs to another cluster, which does not answer:" \
            "start that one, or set CLUSTER_REPLACE_CONFIG=1 to replace its configuration (a copy is kept)"
        [[ -z $(pgrep -x slurmctld; pgrep -x slurmd) ]] || fail "SLURM daemons run with another configuration than ours"
        cp -a /etc/slurm "/etc/slurm.before-neuroflow.$(date +%s)"
    fi
    mkdir -p /etc/slurm
    : >/etc/slurm/slurmdbd.conf
    chmod 600 /etc/slurm/slurmdbd.conf # it holds a password, and slurmdbd insists
    slurmdbd_conf >/etc/slurm/slurmdbd.conf
    cgroup_conf >/etc/slurm/cgroup.conf
    slurm_conf >"$CONFIG"
}

# Half of an old state is worse than none: job numbers, accounting and spool belong together.
start_from_nothing() {
    stop_daemons
    take_configuration
    rm -rf "$CLUSTER_DIR"/{state,spool,run,mariadb}
    mkdir -p "$CLUSTER_DIR"/{state,spool,run,mariadb,log}
    chmod 755 "$CLUSTER_DIR"
    grep -q "[[:space:]]$HOST\b" /etc/hosts || echo "127.0.0.1 $HOST" >>/etc/hosts
}

start_munge() {
    munge -n >/dev/null 2>&1 && return
    mkdir -p /run/munge /var/log/munge
    chown munge: /run/munge /var/log/munge
    chmod 755 /run/munge
    # --force: a socket that a killed munged left behind.
    runuser -u munge -- munged --force
    wait_for 10 munged munge -n
}

start_mariadb() {
    pid_of mariadbd "$CLUSTER_DIR/mariadb/server.pid" >/dev/null && return
    local folder=$CLUSTER_DIR/mariadb
    chown mysql: "$folder"
    [[ -d $folder/mysql ]] || mariadb-install-db --no-defaults --user=mysql --datadir="$folder" \
        --auth-root-authentication-method=normal --skip-test-db >"$CLUSTER_DIR/log/mariadb-install.log" 2>&1
    setsid mariadbd --no-defaults --user=mysql --datadir="$folder" --socket="$SOCKET" --port="$MARIADB_PORT" \
        --bind-address=127.0.0.1 --pid-file="$folder/server.pid" --innodb-buffer-pool-size=128M \
        --innodb-lock-wait-timeout=900 --innodb-flush-log-at-trx-commit=2 \
        >"$CLUSTER_DIR/log/mariadb.log" 2>&1 </dev/null &
    wait_for 60 MariaDB mariadb-admin --no-defaults -S "$SOCKET" ping
    mariadb --no-defaults -S "$SOCKET" -e "create database if not exists slurm_acct_db;
        create user if not exists slurm@'127.0.0.1' identified by 'slurm';
        create user if not exists slurm@localhost identified by 'slurm';
        grant all on slurm_acct_db.* to slurm@'127.0.0.1';
        grant all on slurm_acct_db.* to slurm@localhost;"
}

start_accounting() {
    pid_of slurmdbd "$CLUSTER_DIR/run/slurmdbd.pid" >/dev/null || slurmdbd
    wait_for 60 slurmdbd sacctmgr -n list cluster
    [[ -n $(sacctmgr -n list cluster neuroflow) ]] || sacctmgr -i add cluster neuroflow >/dev/null
    [[ -n $(sacctmgr -n list account lab) ]] || sacctmgr -i add account lab cluster=neuroflow >/dev/null
    account_users
}

start_slurm() {
    local node
    pid_of slurmctld "$CLUSTER_DIR/run/slurmctld.pid" >/dev/null || slurmctld
    wait_for 60 slurmctld answers
    for node in $(nodes); do
        pid_of slurmd "$CLUSTER_DIR/run/slurmd.$node.pid" >/dev/null || slurmd -N "$node"
    done
    # A node whose job would not die, or that was drained by a test, comes back.
    for node in $(sinfo -h -N -t drain,down -o %N | sort -u); do
        scontrol update nodename="$node" state=resume 2>/dev/null || true
    done
    wait_for 90 "every node" all_ready
}

use_the_other() {
    account_users
    wait_for 60 "a node of the cluster that runs already" some_ready
    echo "using the cluster that runs already"
    sinfo
}

up() {
    local program
    for program in slurmctld slurmdbd slurmd mariadbd munged; do
        command -v "$program" >/dev/null || fail "$program is not installed; run $0 install"
    done
    prepare_machine
    if ! configuration_is_ours && answers; then
        use_the_other
        return
    fi
    if ! configuration_is_ours || ! any_of_ours; then start_from_nothing; fi
    start_munge
    start_mariadb
    start_accounting
    start_slurm
    sinfo
}

# --- down, status ----------------------------------------------------------------------------------

down() {
    # Jobs first: their processes belong to slurmstepd, which outlives slurmd.
    if configuration_is_ours && answers; then
        squeue -h -o %A | sort -u | xargs -r scancel 2>/dev/null || true
        for _ in $(seq 40); do
            [[ -n $(squeue -h 2>/dev/null) ]] || break
            sleep 0.25
        done
    fi
    stop_daemons
}

crash() { # PROGRAM
    local pid
    [[ ${1:-} == slurmctld || ${1:-} == slurmdbd ]] || fail "crash slurmctld or slurmdbd"
    configuration_is_ours || fail "the cluster that answers was not started by this script: nothing is killed"
    pid=$(pid_of "$1" "$CLUSTER_DIR/run/$1.pid") || fail "$1 is not running"
    kill -KILL "$pid"
}

status() {
    local program file state
    while read -r program file; do
        pid_of "$program" "$file" >/dev/null && state=up || state=down
        echo "$(basename "$file" .pid) ($program): $state"
    done < <(daemons)
    answers || { echo "no cluster answers"; return 1; }
    configuration_is_ours || echo "the cluster that answers was not started by this script"
    sinfo
    some_ready
}

install() { "$HERE/install.sh"; }

locked() { # run this script again with the lock held; --close keeps the lock from the daemons
    if [[ -n ${CLUSTER_LOCKED:-} ]]; then
        "$1"
    else
        mkdir -p "$(dirname "$LOCK")"
        CLUSTER_LOCKED=1 flock --close --timeout "$LOCK_SECONDS" "$LOCK" "${BASH_SOURCE[0]}" "$1"
    fi
}

case ${1:-} in
    install | up | down)
        ((EUID == 0)) || fail "$1 needs root"
        locked "$1"
        ;;
    crash) crash "${2:-}" ;;
    status) status ;;
    *)
        sed -n '2,19p' "$0" >&2
        exit 2
        ;;
esac
