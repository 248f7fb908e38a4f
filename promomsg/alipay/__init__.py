"""What the Mini Program OpenAPI means: signed requests, answers to verdicts. No I/O, no clock."""
