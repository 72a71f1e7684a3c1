"""The service's TUF repository: pure rules (`metadata`), rows, keys and signing.

    targets ── <model>            the latest versions, all that an up-to-date device reads
                  └─ <model>+archive          delegates older versions
                        └─ <model>+archive-K  versions 64 K to 64 K + 63

Metadata and signatures are left to python-tuf and securesystemslib.
"""
