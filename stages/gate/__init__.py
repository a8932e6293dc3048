"""The command `python -m stages.gate`: Hold the metrics of the workspace against another revision's."""
