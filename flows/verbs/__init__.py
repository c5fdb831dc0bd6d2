"""The verbs of the `gristmill` command, a module each: options, what they call, and what they print."""
