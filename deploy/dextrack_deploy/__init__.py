"""A controller on a cell: control loop, shadow simulator, arm, supervisor, drivers, twin, trials. Imports no ROS."""
