"""The agent of a network-booted live image.

`boot` reads what was asked for, `plan` turns it into steps or a list of faults, `host` is the one door to
the machine and `machine` what it found there, `tasks` are the jobs, `engine` carries a plan out and writes
events, `report` brings those where they are wanted; `daemon` and `cli` are the two ways in.
"""

__version__ = "0.1.0"
