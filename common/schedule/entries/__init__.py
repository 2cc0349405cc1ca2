"""What is written of a schedule: entries and periods, read, checked, and changed at run time. Pure."""
