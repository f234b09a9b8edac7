"""What is known of queues, sites, storages and the network between them: models, reading what sources say, changes."""
