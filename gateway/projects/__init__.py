"""Projects and tokens: authentication, the registry that every gateway follows, administration."""
