"""The executor of every node's process: rclpy's single-threaded one, without the wake-up calls that only other threads need."""

from __future__ import annotations

from rclpy.executors import SingleThreadedExecutor


class NodeExecutor(SingleThreadedExecutor):
    """Runs callbacks in the one thread of a process.

    After each callback rclpy triggers a guard condition, so that another thread of a multi-threaded executor looks again. With one thread that only
    makes the next wait return at once, and costs as much as the callback itself. A version of rclpy that has no such guard is left as it is.
    """

    def __init__(self) -> None:
        """Make the executor of the default context."""
        super().__init__()
        guard = getattr(self, "_guard", None)
        if guard is not None:
            guard.trigger = lambda: None
