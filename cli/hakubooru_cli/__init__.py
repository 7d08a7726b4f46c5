"""The two commands, hakubooru and hakubooru-train: parse, call one library function, print."""
