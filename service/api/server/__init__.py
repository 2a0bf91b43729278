"""The HTTP server: uvicorn, with limits on headers, on waiting clients and on open connections."""
