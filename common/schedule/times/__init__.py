"""When: clocks on walls, calendars, cron, periods, and the triggers made of them. Pure."""
