"""Which runs to read: what is remembered of each agent, what its list shows, what the warehouse holds."""
