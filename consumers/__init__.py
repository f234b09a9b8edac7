"""What happens: the six services, one module each."""
