"""Recipients in, outcomes out, over any channel and journal."""
