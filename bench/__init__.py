"""What the speed claims rest on: measures throughput and latency on private, real services."""
