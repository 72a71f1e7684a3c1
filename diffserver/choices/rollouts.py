"""Rollouts: what may be said of how a version reaches devices, and what holds where nothing is said."""

from typing import Literal

STAGES = ("1%", "10%", "50%", "100%")
"""Those of a rollout; a version that is published gets to all devices at once."""

Evidence = Literal["field", "failures", "none"]
"""What a gate looks at: errors that devices count in the field, and failures; failures alone; nothing."""

EVIDENCE: Evidence = "field"
WAIT_SECONDS = 0
"""The least time that a stage lasts."""
MARGIN = 0.5
"""The worsening of the error rate that is borne, in points."""
LEAST = 10
"""The devices on either side that must have reported before anything is said."""
MOST_FAILURES = 0.02
"""The share of devices that may fail by the version's own fault."""
