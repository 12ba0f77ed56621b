"""Superset without a cache and with a database of its own in memory."""

_WITHOUT = {"CACHE_TYPE": "NullCache"}
CACHE_CONFIG = DATA_CACHE_CONFIG = FILTER_STATE_CACHE_CONFIG = EXPLORE_FORM_DATA_CACHE_CONFIG = _WITHOUT
SECRET_KEY = "x" * 42
SQLALCHEMY_DATABASE_URI = "sqlite://"
