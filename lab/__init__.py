"""The laboratory: private services, a whole system on one machine, real pilots and the demo."""
