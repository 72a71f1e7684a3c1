"""A second client, slow and plain: docs/format.md in Python that shares nothing with `diffclient`.

`coding`, `decoder` and `arithmetic` read a payload and apply it; whoever ports a client to another language may read
them beside the document. `writer` and `documents` make payloads as one wants them; `samples`, `unfit` and `hostile`
say which, and `vectors/` is those as files (made by `python -m tests.reference.make_vectors`, read by `vectors`).
"""
