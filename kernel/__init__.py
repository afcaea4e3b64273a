"""Mechanism: capabilities, gate, journal, syscalls, processes, runtime, memory.

The kernel knows `Directive` (what one agent is asked to do) and nothing of Seeds, phases or pages.
"""
