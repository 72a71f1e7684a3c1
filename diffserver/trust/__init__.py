"""Trust: the TUF repository of the service, from pure rules (`metadata`) to rows and keys.

    targets ── <model>            the latest versions, what a device that is up to date reads
                  └─ <model>+archive          delegates the rest
                        └─ <model>+archive-K  versions 64 K to 64 K + 63

Everything is made and checked with python-tuf's metadata and securesystemslib's signers.
"""
