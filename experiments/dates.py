"""When steps of a scenario are."""

from datetime import datetime, timedelta

from gridenv.exogenous.timebase import STEPS_PER_HOUR, YEAR_START


def date_of(start: int) -> datetime:
    """Date and time of a scenario step."""
    return YEAR_START + timedelta(hours=start / STEPS_PER_HOUR)
