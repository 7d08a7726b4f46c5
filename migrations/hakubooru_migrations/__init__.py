"""Bring older metadata files to the present layout, by numbered scripts."""

from hakubooru_migrations.runner import Plan, migrate, plan

__all__ = ["Plan", "migrate", "plan"]
