"""Tools that use the service and are no part of it: benchmarks, soaks, the demo, archives."""
