"""A second client, slow and readable: docs/format.md in Python without any code of `diffclient`.

`coding`, `decoder` and `arithmetic` read a payload and apply it, and serve as a guide for ports to other languages.
`writer` and `documents` make arbitrary payloads; `samples`, `unfit` and `hostile` define the test vectors. The folder
`vectors` holds these as files (made by `python -m tests.reference.make_vectors`, read by `vectors`).
"""
