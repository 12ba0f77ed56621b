"""From a request body to validated items. Everything but `body` is pure."""
