"""The command `python -m stages.export`: Write similarities for other programs."""
