"""The domain: how a job offer spreads through follower networks.

Pure: no I/O, no clock, no randomness. Events go in, results come out as values, and "now" is an argument.
"""
