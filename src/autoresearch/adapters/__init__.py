"""One file per outside system; the ports of `ports.py` are what they implement."""
