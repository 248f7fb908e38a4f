"""The journal on PostgreSQL: many campaigns in one database, many senders of each (extra `fleet`)."""

try:
    import psycopg as psycopg
except ImportError as error:
    raise ImportError(
        f"a journal on PostgreSQL needs psycopg ({error}): pip install 'promomsg[fleet]'"
    ) from None
