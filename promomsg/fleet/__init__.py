"""Many campaigns in one database, sent from many machines (extra `fleet`)."""
