"""What issue 3 asks of the filter, measured: requests a second, an abort, a delay, replacement under traffic, memory.

Only what belongs to that one command; what other benchmarks use as well is a level higher.
"""
