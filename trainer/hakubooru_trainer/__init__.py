"""A LoKr fine-tune of SDXL on what hakubooru exports. Needs the extra `train`."""
