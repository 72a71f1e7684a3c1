"""Fault injection: fail every file operation of a device once, and check that it recovers: python -m tests.faults

`tape` records the operations of an update and makes one of them fail, `disk` models the states after a power cut,
`trial` runs a process into the fault and another one after it, `chain` holds the commands that are tested.
"""
