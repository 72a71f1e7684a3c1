from datetime import UTC, datetime, timedelta

import pytest

from diffserver.errors import ClockBehind
from diffserver.trust.clock import SLACK, require_not_behind

THEN = datetime(2030, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("behind", [-timedelta(days=1), timedelta(0), SLACK])
def test_a_clock_may_lag_a_little(behind: timedelta) -> None:
    require_not_behind(THEN - behind, {"metadata was last signed": THEN, "nothing": None})


def test_a_clock_that_lags_more_is_named_with_what_happened_since() -> None:
    with pytest.raises(ClockBehind, match=r"says 2029-12-31 22:59 UTC, before metadata was last signed \(2030-01-01"):
        require_not_behind(THEN - SLACK - timedelta(minutes=1), {"metadata was last signed": THEN})
