"""The only code that touches SLURM, submitit and the nodes; nothing is imported here, because jobs import it."""
