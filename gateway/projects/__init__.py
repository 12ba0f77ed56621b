"""Projects and tokens: authentication, the registry that every gateway keeps, and administration."""
