"""Which posts: predicates, seeded samples, selections and recipes."""
