"""Run selections: columns of posts as arrays, their sidecar on disk, and the plan that a selection runs by."""

from hakubooru.engine.optimize import Cost, cost

__all__ = ["Cost", "cost"]
