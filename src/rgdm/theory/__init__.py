"""What the papers say, as tested objects; no command needs it."""
