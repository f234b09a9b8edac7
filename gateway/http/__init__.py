"""HTTP itself: decoding, answers, refusals, the route and its document."""
