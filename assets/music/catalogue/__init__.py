"""Lists and details of songs, artists, albums and files, as gold, silver and the ledger have them.

Belongs here: reading them for answers. Does not: search (``search``), writing anything.
"""
