"""Experiments: the file, the plan of studies, the runner, the results."""
