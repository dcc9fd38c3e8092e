"""What is known of tables before any value: JSON Schemas, of the API and of agents, and the columns they declare."""
