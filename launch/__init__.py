"""The composition root: command line, sweeps, tables, Slurm."""
