"""The names under which the services leave values in the database for others to read."""

from __future__ import annotations

# What the last look at the cluster found, and when the next one is due.
POLL_KEY = "poll"
# What the last scan found.
SCAN_KEY = "scan"
# The last backup that was taken, by whomever.
BACKUP_KEY = "backup"
# Which configuration the workers read when they started, as the last one of them said it.
WORKER_CONFIG_KEY = "worker_config"
# What waits for what, as the scheduler last said it.
WAITS_KEY = "waits"
# How many completed runs are not over the present inputs, as the scheduler last said it.
OUT_OF_DATE_KEY = "out_of_date"
# The budget of calls of SLURM's programs that all processes share.
SLURM_BUDGET = "slurm"
