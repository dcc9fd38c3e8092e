"""What the warehouse holds: asked by SQL, and taken over into the schema."""
