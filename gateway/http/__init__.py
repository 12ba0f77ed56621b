"""HTTP: routes, the ingest handler, responses, and what aiohttp needs around them."""
