"""Keep a model on a device up to date with neural diffs: fetch, verify, apply, measure, switch.

Every part is imported from its own module (`diffclient.update.updater`, `diffclient.store.store`, …), so importing the
package costs nothing.
"""

__version__ = "0.1.0"
