"""What kinds of destinations need, and how lakes are asked what they hold."""
