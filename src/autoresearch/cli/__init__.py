"""The command line: the only place that wires ports to adapters."""
