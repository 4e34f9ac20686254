"""What all reports of benchmarks are made of; knows none of the benchmarks.

machine.py      describes the machine and the versions of what runs on it, and how busy others kept it
statistics.py   medians, percentiles, ratios and spreads, without numpy
slopes.py       growth over time, with its uncertainty
tables.py       Markdown tables that can be read in a terminal
"""
