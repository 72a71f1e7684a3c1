"""What becomes of a device when something fails at any one of its file operations: python -m tests.faults

`tape` sees each operation of an update and makes one of them fail, `disk` knows what a power cut may leave of them,
`trial` lets a process fail there and another one go on, `chain` is the updates in a row to which it is done.
"""
