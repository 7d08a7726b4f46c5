"""A miniature booru of drawn pictures with real tags, to try everything before downloading terabytes."""
