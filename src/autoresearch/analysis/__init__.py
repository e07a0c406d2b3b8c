"""Numbers computed outside the sandbox, from the raw values that the trials returned."""
