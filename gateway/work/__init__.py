"""What requests do: claims, reports, kept requests, uploads; many share one statement."""
