"""The command `python -m stages.compare`: Compare two captured runs."""
