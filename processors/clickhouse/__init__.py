"""The ClickHouse client and the migrations, as the processors need them."""
