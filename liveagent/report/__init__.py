"""Where events go. The spool is the record; every other sink is a reader of it with a cursor of its own."""
