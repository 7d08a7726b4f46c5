"""A miniature booru: drawn pictures with real tags, so that everything can be tried before a terabyte is fetched."""
