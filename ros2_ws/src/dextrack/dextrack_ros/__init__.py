"""ROS 2 around dextrack_deploy: lifecycle nodes, each its own process, and the verb that starts them."""
