"""What the WeChat promoter API means: requests to bytes, answers to verdicts. No I/O, no clock."""
