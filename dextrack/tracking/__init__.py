"""The tracking task: observation, action, reward, termination, environment; the paper's metrics and our verdict.

``metrics`` and ``verdict`` use numpy alone, so that reports and ROS nodes can judge without loading torch.
"""
