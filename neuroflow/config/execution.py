"""The sections that say where and how containers run: containers, cluster, pipelines."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from neuroflow.config.fields import (
    ConfigPath,
    ImageDigest,
    ImageName,
    OneLine,
    PipelineName,
    Runtime,
    Section,
    SpecName,
)
from neuroflow.config.partitions import Gres, Limits, PartitionName, PartitionSettings
from neuroflow.config.recovery import PipelineRetry
from neuroflow.config.sections import MaxConcurrent
from neuroflow.config.ssh import Ssh
from neuroflow.domain.gres import gpus_of


class Containers(Section):
    """The container runtime that all pipelines use unless they name their own."""

    runtime: Runtime = Field(
        default="apptainer", description="`host` runs the tools that are installed beside neuroflow, in no container."
    )
    runtime_args: tuple[OneLine, ...] = Field(
        default=(), description="Further options of the runtime, such as --userns."
    )
    binds: tuple[OneLine, ...] = Field(default=(), description="Further binds, as /host/path:/container/path[:ro].")
    environment: dict[str, OneLine] = Field(
        default_factory=dict, description="Environment variables inside the container."
    )
    voxelops_python: OneLine | None = Field(
        default=None,
        description="Python that has VoxelOps, for `where: voxelops`; none: this one. It needs no neuroflow.",
    )


class Cluster(Section):
    """One site's facts."""

    name: str = Field(default="local", pattern=r"^[A-Za-z0-9._-]+$", description="What people call the site.")
    kind: Literal["slurm", "local"] = Field(
        default="local", description="`slurm`, or `local`: processes on this machine (submitit's local executor)."
    )
    transport: Literal["local", "ssh"] = Field(
        default="local",
        description="`local` calls SLURM's programs on this machine; `ssh` on the login node that cluster.ssh names.",
    )
    ssh: Ssh = Field(default_factory=Ssh, description="The login node, with `transport: ssh`.")
    account: OneLine | None = Field(default=None, description="SLURM account.")
    partition: OneLine | None = Field(
        default=None,
        description="SLURM partition, or `auto`: the smallest that fits the request; none: SLURM's default.",
    )
    qos: OneLine | None = Field(default=None, description="SLURM QOS.")
    constraint: OneLine | None = Field(default=None, description="SLURM node features.")
    sbatch_lines: tuple[OneLine, ...] = Field(
        default=(), description="Further #SBATCH options of the site, such as `--mail-type=FAIL`."
    )
    setup_lines: tuple[OneLine, ...] = Field(
        default=(), description="Shell lines before the job, such as `module load apptainer/1.4`."
    )
    scratch: OneLine | None = Field(
        default=None,
        description="Shell expression of a node-local scratch folder, such as $SLURM_TMPDIR; "
        "it becomes the container's /tmp.",
    )
    python: OneLine | None = Field(
        default=None,
        description="Python of the nodes with neuroflow in it; none: this one. "
        "With `transport: ssh` it is the cluster's, and needed.",
    )
    limits: Limits = Field(default_factory=Limits, description="The largest request that the partition takes.")
    partitions: dict[PartitionName, PartitionSettings] = Field(
        default_factory=dict,
        description="What is particular to partitions, by name. `auto` chooses among these; "
        "where none are listed, among all that SLURM lets this user into.",
    )
    poll_seconds: float = Field(
        default=60.0,
        ge=1,
        description="Shortest time between two looks at squeue and sacct (s). It grows up to fivefold while nothing "
        "changes, and is never less than five times what SLURM took to answer.",
    )
    array_size: int = Field(
        default=500,
        ge=1,
        description="Most ready runs of one pipeline that are submitted as one job array; 1: each by itself. "
        "The cluster's MaxArraySize is kept to in any case.",
    )
    array_at_once: int | None = Field(
        default=None, ge=1, description="Elements of one array that may run at one time (sbatch's `%N`); none: all."
    )
    calls_per_minute: float = Field(
        default=60.0,
        gt=0,
        description="Most SLURM calls of this installation in a minute, all of its processes together.",
    )
    command_timeout_seconds: float = Field(
        default=150.0, gt=0, description="Limit of one SLURM command (s); sbatch itself retries for up to 120 s."
    )
    accounting: bool = Field(default=True, description="Whether sacct works at this site.")
    accounting_grace_seconds: float = Field(
        default=120.0, ge=0, description="How long a job that left squeue may be missing from sacct (s)."
    )
    signal_seconds: int = Field(
        default=90, ge=10, description="SLURM warns the job this long before its time limit (s)."
    )
    exclude_node_hours: float = Field(
        default=24.0, ge=0, description="How long a node that failed is left out of further jobs (h); 0: never."
    )

    @property
    def is_remote(self) -> bool:
        """Whether jobs are submitted from another machine."""
        return self.transport == "ssh"

    @model_validator(mode="after")
    def _what_ssh_needs(self) -> Cluster:
        if not self.is_remote:
            return self
        if self.kind != "slurm":
            raise ValueError("transport: ssh needs kind: slurm")
        needed = {"ssh.host": self.ssh.host, "ssh.state_dir": self.ssh.state_dir, "python": self.python}
        missing = [name for name, value in needed.items() if not value]
        if missing:
            raise ValueError(f"transport: ssh needs {' and '.join(missing)}")
        return self


class PipelineSettings(Section):
    """What a site may say of one pipeline; anything left out keeps the pipeline's own default."""

    enabled: bool = Field(default=True, description="Whether new runs are opened.")
    level: Literal["subject", "session"] | None = Field(
        default=None, description="What one run covers. Only qsiprep can do both: `session` needs `sessionwise` there."
    )
    queue: Literal["bids", "processing", "heavy_processing", "default"] | None = Field(
        default=None, description="Celery queue of its tasks."
    )
    depends_on: tuple[PipelineName, ...] | None = Field(
        default=None, description="Pipelines whose results it needs, by name."
    )
    where: Literal["cluster", "worker", "voxelops"] | None = Field(
        default=None,
        description="`worker` does the work inside the Celery worker; only bids_conversion may. `voxelops` runs it on "
        "this machine through VoxelOps and Docker.",
    )
    runtime: Runtime | None = Field(default=None, description="Instead of containers.runtime.")
    image: ImageName | None = Field(default=None, description="SIF file, or image reference for docker and podman.")
    image_digest: ImageDigest | None = Field(
        default=None,
        description="The image's sha256 (`sha256:` and 64 hexadecimal digits): no run starts with another image. "
        "`neuroflow containers list` shows it.",
    )
    version: OneLine | None = Field(
        default=None,
        description="Version of the tool in the image; options differ between releases. "
        "Read from the image name if left out.",
    )
    program: tuple[OneLine, ...] | None = Field(
        default=None,
        description="The command, as an argument list, where the host runtime runs something else than "
        "the tool's own name.",
    )
    args: tuple[OneLine, ...] = Field(default=(), description="Further options of the tool, as an argument list.")
    cpus: int | None = Field(default=None, ge=1, description="Cores.")
    memory_mb: int | None = Field(default=None, ge=1, description="Memory (MiB).")
    time_minutes: int | None = Field(default=None, ge=1, description="Wall time (min).")
    shortest_minutes: int | None = Field(
        default=None,
        ge=1,
        description="Before a maintenance a job may be shortened to this (min); none: it waits until afterwards.",
    )
    gpus: int | None = Field(default=None, ge=0, description="GPUs.")
    retry: PipelineRetry = Field(
        default_factory=PipelineRetry, description="Instead of workflow.retry, field by field."
    )
    outputs: tuple[OneLine, ...] | None = Field(
        default=None,
        description="Globs of files that must exist for success, relative to the dataset; "
        "{subject} and {session} are filled in.",
    )
    account: OneLine | None = Field(default=None, description="Instead of cluster.account.")
    partition: OneLine | None = Field(default=None, description="Instead of cluster.partition; `auto` too.")
    qos: OneLine | None = Field(default=None, description="Instead of cluster.qos.")
    constraint: OneLine | None = Field(default=None, description="Instead of cluster.constraint.")
    gres: Gres | None = Field(
        default=None, description="Generic resources, such as gpu:a100:1 for eddy on a GPU; instead of `gpus`."
    )
    scratch: OneLine | None = Field(default=None, description="Instead of cluster.scratch.")
    preemptible: bool = Field(
        default=False, description="Whether `auto` may choose a partition whose jobs may be stopped for others'."
    )
    sbatch_lines: tuple[OneLine, ...] = Field(default=(), description="Further #SBATCH options.")
    setup_lines: tuple[OneLine, ...] = Field(default=(), description="Further shell lines before the job.")
    runtime_args: tuple[OneLine, ...] = Field(default=(), description="Further options of the container runtime.")
    environment: dict[str, OneLine] = Field(default_factory=dict, description="Further environment variables.")

    in_worker_allowed: ClassVar[bool] = False
    levels: ClassVar[tuple[str, ...]] = ("session",)

    @field_validator("level")
    @classmethod
    def _only_what_the_tool_can_cover(cls, level: str | None) -> str | None:
        if level is not None and level not in cls.levels:
            raise ValueError(f"is '{level}', but one run of this pipeline covers a {cls.levels[0]}, and nothing else")
        return level

    @model_validator(mode="after")
    def _one_number_of_gpus(self) -> Self:
        asked = gpus_of(self.gres)
        if self.gres is not None and self.gpus is not None and self.gpus != asked:
            raise ValueError(f"gpus is {self.gpus}, but gres ({self.gres}) asks for {asked}; leave gpus out")
        return self

    @field_validator("where")
    @classmethod
    def _only_short_work_in_the_worker(cls, where: str | None) -> str | None:
        if where == "worker" and not cls.in_worker_allowed:
            raise ValueError(
                "is 'worker', but only bids_conversion may do its work inside the worker; allowed here: "
                "'cluster', 'voxelops'"
            )
        return where


class BidsConversionSettings(PipelineSettings):
    """HeudiConv's own settings."""

    in_worker_allowed: ClassVar[bool] = True

    heuristic: ConfigPath | None = Field(
        default=None,
        description="HeudiConv heuristic (a Python file); none: the one that neuroflow ships for diffusion and T1w.",
    )


class QSIPrepSettings(PipelineSettings):
    """QSIPrep's own settings."""

    levels: ClassVar[tuple[str, ...]] = ("subject", "session")

    output_resolution: float = Field(default=2.0, gt=0, description="Voxel size of the output (mm), isotropic.")
    subject_anatomical_reference: Literal["first-lex", "unbiased", "sessionwise"] = Field(
        default="first-lex", description="Which anatomical image a subject's sessions are aligned to."
    )
    anat_modality: Literal["T1w", "T2w", "none"] | None = Field(
        default=None, description="Passed on; none: QSIPrep's default. `none` for data without a T1w."
    )
    bids_filter_file: ConfigPath | None = Field(default=None, description="JSON of PyBIDS filters.")

    @model_validator(mode="after")
    def _sessions_apart(self) -> QSIPrepSettings:
        # Otherwise the anatomical results lie in the subject's folder, and each session's run replaces the others'.
        if self.level == "session" and self.subject_anatomical_reference != "sessionwise":
            raise ValueError("level: session needs subject_anatomical_reference: sessionwise")
        return self


class QSIReconSettings(PipelineSettings):
    """QSIRecon's own settings."""

    recon_spec: SpecName = Field(default="dsi_studio_gqi", description="Name of a built-in workflow, or a YAML file.")
    atlases: tuple[OneLine, ...] = Field(default=("4S156Parcels",), description="Atlases, by name.")
    datasets: dict[str, ConfigPath] = Field(
        default_factory=dict, description="Further datasets: name to folder (--datasets)."
    )


class QSIParcSettings(PipelineSettings):
    """QSIParc's own settings."""

    scalars: tuple[OneLine, ...] = Field(default=(), description="Scalar maps, by name; none: all that are found.")
    atlases: tuple[OneLine, ...] = Field(default=(), description="Atlases, by name; none: all that are found.")


class Pipelines(Section):
    """Overrides of the four pipelines."""

    bids_conversion: BidsConversionSettings = Field(default_factory=BidsConversionSettings, description="HeudiConv.")
    qsiprep: QSIPrepSettings = Field(default_factory=QSIPrepSettings, description="QSIPrep.")
    qsirecon: QSIReconSettings = Field(default_factory=QSIReconSettings, description="QSIRecon.")
    qsiparc: QSIParcSettings = Field(default_factory=QSIParcSettings, description="QSIParc.")


__all__ = ["Cluster", "Containers", "Limits", "MaxConcurrent", "PartitionSettings", "PipelineSettings", "Pipelines"]
