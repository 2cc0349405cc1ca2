"""What becomes of each planned run: the engine, which decides everything and does nothing. Pure."""
