"""The experiment behind the product: chains of updates by several methods, each held against the full chain.

Everything is computed as the pipeline computes it, with the device's own code, and nothing is stored but files in a
work folder: no database, no server. Terms and definitions stand in docs/experiment.md.
"""
