"""HTTP: routes, the ingest handler, responses, probes, CORS, TLS, and the hardened aiohttp server."""
