"""Keep pytest out: what is here starts servers, and has a command of its own (README.md)."""

collect_ignore_glob = ["*.py"]
