"""How fast fluxmig is, beside others and beside what the server allows: `python -m benchmarks`."""
