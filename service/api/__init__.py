"""HTTP: streams, uploads, scores, events, webhooks, health and metrics."""
