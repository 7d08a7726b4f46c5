"""Trains a LoKr adapter of SDXL on what hakubooru exports. It needs the extra `train`."""
