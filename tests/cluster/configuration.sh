# Sourced by services.sh: the cluster's three configuration files.

# Memory limits need the kernel's memory controller as cgroup v1 (version 2 wants systemd). Elsewhere SLURM's own
# sampling ends a job over its request, as sites without cgroups do: such a job is FAILED, not OUT_OF_MEMORY.
readonly CGROUP_V1=/sys/fs/cgroup/memory

memory_limits() {
    if [[ -d $CGROUP_V1 ]]; then
        echo "TaskPlugin=task/cgroup"
    else
        printf 'TaskPlugin=task/none\nJobAcctGatherParams=OverMemoryKill\n'
    fi
}

slurm_conf() {
    local last_port=$((NODE_PORT + NODES - 1))
    cat <<CONF
$MARK
ClusterName=neuroflow
SlurmctldHost=$HOST(127.0.0.1)
SlurmctldPort=$CTLD_PORT
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
StateSaveLocation=$CLUSTER_DIR/state
SlurmdSpoolDir=$CLUSTER_DIR/spool/%n
SlurmctldPidFile=$CLUSTER_DIR/run/slurmctld.pid
SlurmdPidFile=$CLUSTER_DIR/run/slurmd.%n.pid
SlurmctldLogFile=$CLUSTER_DIR/log/slurmctld.log
SlurmdLogFile=$CLUSTER_DIR/log/slurmd.%n.log
MailProg=/bin/true
MpiDefault=none
ProctrackType=proctrack/linuxproc
$(memory_limits)
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
# The nodes claim more than the machine has, so that many small jobs run at once.
SlurmdParameters=config_overrides
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,bf_interval=1
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=1
JobRequeue=1
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort=$DBD_PORT
AccountingStorageEnforce=associations,limits,qos
AccountingStoreFlags=job_comment,job_script
MinJobAge=60
KillWait=5
MaxArraySize=1001
ReturnToService=2
NodeName=n[1-$NODES] NodeHostname=$HOST NodeAddr=127.0.0.1 Port=[$NODE_PORT-$last_port] CPUs=16 RealMemory=64000
PartitionName=main Nodes=ALL Default=YES MaxTime=2-00:00:00 DefMemPerCPU=1000 PriorityTier=10 PreemptMode=OFF State=UP
PartitionName=short Nodes=ALL MaxTime=00:02:00 DefMemPerCPU=1000 PriorityTier=20 PreemptMode=OFF State=UP
PartitionName=spot Nodes=ALL MaxTime=1-00:00:00 DefMemPerCPU=1000 PriorityTier=1 PreemptMode=REQUEUE State=UP
CONF
}

slurmdbd_conf() {
    cat <<CONF
AuthType=auth/munge
DbdHost=$HOST
DbdAddr=127.0.0.1
DbdPort=$DBD_PORT
SlurmUser=root
LogFile=$CLUSTER_DIR/log/slurmdbd.log
PidFile=$CLUSTER_DIR/run/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort=$MARIADB_PORT
StorageUser=slurm
StoragePass=slurm
StorageLoc=slurm_acct_db
CONF
}

cgroup_conf() {
    if [[ ! -d $CGROUP_V1 ]]; then
        # SLURM knows `disabled` since 23.02; slurmd of an older one starts with this instead, and nothing uses it.
        if slurmd -V | grep -q ' 2[0-2]\.'; then echo "CgroupPlugin=cgroup/v1"; else echo "CgroupPlugin=disabled"; fi
        return
    fi
    cat <<CONF
CgroupPlugin=cgroup/v1
CgroupMountpoint=/sys/fs/cgroup
ConstrainRAMSpace=yes
ConstrainSwapSpace=no
CONF
}
