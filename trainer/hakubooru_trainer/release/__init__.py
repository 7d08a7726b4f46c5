"""What is done with a trained adapter: converting it for other programs and merging it into a model."""
