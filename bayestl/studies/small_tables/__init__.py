"""Case T: a battery of small tables, each fitted by one call with no choice made, beside other learners."""

from bayestl.studies.small_tables.battery import FOLDER, run, summarise

__all__ = ["FOLDER", "run", "summarise"]
