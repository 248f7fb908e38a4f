"""What the suites beside `fanout` run in a measured process of its own."""
