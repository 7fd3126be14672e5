"""The doctor: what of this machine stands in the way of a cell, and what to do about it. It reads, and changes nothing.

One file per area, each with functions ``check(system, case) -> list[Finding]`` that see the machine through ``System`` alone.
"""

from dextrack_deploy.doctor.case import Case
from dextrack_deploy.doctor.examination import CHECKS, examine
from dextrack_deploy.doctor.finding import Finding, Level
from dextrack_deploy.doctor.system import System

__all__ = ["CHECKS", "Case", "Finding", "Level", "System", "examine"]
