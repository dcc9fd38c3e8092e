"""What tests share: the warehouse under test, agents of the service, doors to load by, and what is true."""
