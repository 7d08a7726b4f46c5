"""Migrate older metadata files to the current layout with numbered scripts."""

from hakubooru_migrations.runner import Plan, migrate, plan

__all__ = ["Plan", "migrate", "plan"]
