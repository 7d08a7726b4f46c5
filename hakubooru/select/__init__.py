"""Select posts: predicates, searches, seeded samples, selections and recipes."""
