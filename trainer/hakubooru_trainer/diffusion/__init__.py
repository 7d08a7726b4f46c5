"""Noise, timesteps and samplers, and all that is random: pure functions."""
