"""The command `python -m stages.gate`: Compare the metrics of the workspace with another revision's."""
