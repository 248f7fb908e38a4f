"""Carrying bytes: sessions that know whether anything was sent, tokens, quotas."""
