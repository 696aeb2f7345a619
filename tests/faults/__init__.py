"""The fault campaign: runs that are damaged, killed, cut off from power or disk, and started twice.

`python tests/faults/campaign.py` plays all of it and prints a table; a sample of every kind is in `test_faults.py`.
"""
