"""Looking ahead at schedules that need not run: in words, as times, as load. Pure."""
