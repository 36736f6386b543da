"""A cluster whose login node is another machine: paramiko lives here, and nowhere else."""
