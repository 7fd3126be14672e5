"""The cell: which arm, hand, table and drivers there are, and where each of them stands."""

from dextrack_deploy.cell.config import ArmMount, CellConfig, Drivers, HandMount, Table, Workspace
from dextrack_deploy.cell.load import cell_names, load_cell

__all__ = ["ArmMount", "CellConfig", "Drivers", "HandMount", "Table", "Workspace", "cell_names", "load_cell"]
