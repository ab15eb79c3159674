"""Images as fields, by Pillow, which is an optional dependency."""
