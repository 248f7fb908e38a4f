"""Reading a SQLite journal while its sender runs and after."""

__all__: list[str] = []
