"""How a stage runs: its settings, their mistakes in the user's words, word lists, the guard, errors."""
