"""A run: from its set-up through the loop to what it writes, and the states that it resumes from."""
